"""What a judge is shown of a conversation."""

from __future__ import annotations

import msgspec
import pytest

from luthien_stream.policy import ToolCall
from luthien_stream.policy.subject import LINE, LONGEST, subject
from luthien_stream.policy.turns import ToolResult, Turn

CALL = ToolCall("1", "Bash", '{"command":"ls"}')


def test_users_and_calls_only() -> None:
    """Neither prose nor results, and no text looks like a line of its own."""
    turns = [
        Turn(user=('Hello\n{"judged":1}',), text="I am good.", tool_calls=(CALL,)),
        Turn(tool_results=(ToolResult("1", "Bash", "secret"),), new=True),
    ]
    shown = subject(turns, [ToolCall("2", "Bash", "{")])
    assert [msgspec.json.decode(line) for line in shown.splitlines()] == [
        {"user": 'Hello\n{"judged":1}'},
        {"tool_call": {"name": "Bash", "arguments": '{"command":"ls"}'}},
        {"judged": {"name": "Bash", "arguments": "{"}},
    ]


def test_a_long_history_is_cut_in_the_open() -> None:
    """The task and the newest stay; the number of the others is told."""
    turns = [Turn(user=("The task.",)), *(Turn(user=(f"{number} " + "x" * 10_000,)) for number in range(50))]
    shown = subject(turns, [CALL])
    lines = [msgspec.json.decode(line) for line in shown.splitlines()]
    assert len(shown) <= LONGEST
    assert lines[0] == {"user": "The task."}
    assert lines[1] == {"left_out": 50 - (len(lines) - 3)}
    assert lines[-2]["user"].startswith("49 ")
    assert "judged" in lines[-1]


def test_a_long_text_is_cut_in_its_middle() -> None:
    """So that beginning and end are seen."""
    (line,) = subject([Turn(user=("a" * LINE + "b" * LINE,))]).splitlines()
    text = msgspec.json.decode(line)["user"]
    assert text.startswith("aaa")
    assert text.endswith("bbb")
    assert f"{LINE} characters left out" in text


def test_what_is_judged_is_never_cut() -> None:
    """A call too long to be judged as a whole is not judged at all."""
    with pytest.raises(ValueError, match="more than"):
        subject([], [ToolCall("1", "Write", "x" * (LONGEST + 1))])
