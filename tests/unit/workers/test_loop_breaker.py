"""`loop_breaker` counts repetitions that make no progress, and lets all others be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from luthien_stream.core.lens import Request
from luthien_stream.core.program import Want
from luthien_stream.formats import LENSES
from luthien_stream.policy import End, Event, ToolCall, Transcript, run
from luthien_stream.testing.laws import CORPUS, laws
from tests.unit.workers.configured import made

Step = tuple[str, str, str]
"""Tool, command, result."""
LS: Step = ("Bash", "ls", "a.txt")
CAT: Step = ("Bash", "cat a.txt", "text")


def history(steps: Sequence[Step], first: str = "Do it.") -> Request:
    messages: list[dict[str, Any]] = [{"role": "user", "content": first}]
    for number, (tool, command, result) in enumerate(steps):
        call = {"type": "tool_use", "id": str(number), "name": tool, "input": {"command": command, "x": 0}}
        messages.append({"role": "assistant", "content": [call]})
        answer = {"type": "tool_result", "tool_use_id": str(number), "content": result}
        messages.append({"role": "user", "content": [answer]})
    body = {"model": "m", "max_tokens": 9, "messages": messages}
    return LENSES["anthropic_messages"].request(msgspec.json.encode(body))


def tried(steps: Sequence[Step], call: Step, decision: str = "reject", **fields: Any) -> Transcript:
    """Run the policy over a call behind a history; a person says `decision` where one is asked."""
    arguments = f'{{ "x": 0, "command": "{call[1]}"}}'
    came: list[Event] = [ToolCall("new", call[0], arguments), End("tool_calls")]

    def answer(want: Want) -> Any:
        assert want.kind == "ask"
        return {"decision": decision, "by": "someone"}

    return run(made("loop_breaker", **fields), came, request=history(steps), effects=answer)


def kinds(transcript: Transcript) -> list[str]:
    return [verdict.kind for verdict in transcript.verdicts]


@pytest.mark.parametrize(
    ("steps", "call", "expected"),
    [
        ([], LS, ["allow"]),
        ([LS], LS, ["allow"]),
        ([LS] * 2, LS, ["score", "allow"]),
        ([LS] * 3, LS, ["score", "allow"]),
        ([LS] * 4, LS, ["score", "hold", "deny"]),
        ([LS] * 7, LS, ["score", "stop"]),
        ([LS] * 4, CAT, ["allow"]),
        ([*[LS] * 4, CAT], LS, ["allow"]),
        ([LS, CAT] * 2, LS, ["score", "allow"]),
        ([LS, CAT] * 2, CAT, ["allow"]),
        ([LS, CAT] * 4, LS, ["score", "hold", "deny"]),
        ([LS, CAT] * 7, LS, ["score", "stop"]),
    ],
)
def test_repetitions_come_to_more_and_more(steps: list[Step], call: Step, expected: list[str]) -> None:
    """Of one call, and of two in turn; the way that the model wrote the arguments does not count."""
    transcript = tried(steps, call)
    assert kinds(transcript) == expected
    assert bool(transcript.tool_calls) == (expected[-1] == "allow")


@pytest.mark.parametrize(
    "steps",
    [
        [("Bash", "ls", f"{number} files") for number in range(9)],
        [step for number in range(9) for step in (("Edit", f"{number}", "ok"), ("Bash", "make", "1 failed"))],
        [step for number in range(9) for step in (("Edit", "same", "ok"), ("Bash", "make", f"{number} failed"))],
    ],
)
def test_work_that_goes_on_is_no_loop(steps: list[Step]) -> None:
    """Results change, or what is done between them does."""
    assert kinds(tried(steps, steps[-2])) == ["allow"]
    assert kinds(tried(steps, steps[-1])) == ["allow"]


@pytest.mark.parametrize(
    "step", [("BashOutput", "1", ""), ("Bash", "sleep 30 && gh run list", ""), ("my_wait", "", "")]
)
def test_waiting_is_no_loop(step: Step) -> None:
    """By the tool's name, or by the command."""
    assert kinds(tried([step] * 20, step)) == ["allow"]
    between = [one for _ in range(4) for one in (LS, step)]
    assert kinds(tried(between, LS)) == ["score", "hold", "deny"]


def test_a_word_in_a_command_is_no_waiting() -> None:
    """Only a command that waits is exempt."""
    step = ("Bash", "grep -r sleep .", "none")
    assert kinds(tried([step] * 7, step)) == ["score", "stop"]


def test_a_person_may_let_it_go_on() -> None:
    """And what is said to the agent is a constant."""
    assert tried([LS] * 4, LS, "approve").tool_calls
    denied = tried([LS] * 4, LS, shown="Enough.")
    assert (denied.text, denied.tool_calls) == ("Enough.", [])
    assert denied.verdicts[0].score == pytest.approx(0.8)


def test_steps_can_be_left_out() -> None:
    """0 is never."""
    assert kinds(tried([LS] * 30, LS, flag_at=0, hold_at=0, stop_at=0)) == ["allow"]


def test_laws() -> None:
    """It holds to the laws of all policies."""
    laws(made("loop_breaker"), CORPUS)
