"""`policies try` where a policy asks somebody: people, judges, other models and what outlives a call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from luthien_stream.upstream.render import BODIES
from luthien_stream.upstream.script import Answer, Call
from tests.unit.cli.trying import Try

THRICE = '''
"""Count over the session, and beyond."""
from luthien_stream.policy import Allow, Deny, Fold, ToolGate


class Thrice(ToolGate):
    fold = Fold(0, lambda state, delta: state + delta)

    async def check(self, call, ctx):
        kept = await ctx.kv.get("calls")
        if ctx.session.state == 2:
            return Deny(f"{ctx.session.state} calls, {kept} kept")
        ctx.session.add(1)
        await ctx.kv.add("calls")
        return Allow()
'''


def test_a_person_who_is_not_there_holds(tried: Try, tmp_path: Path) -> None:
    """With an answer given, the policy goes on; having been held stays the verdict, unless it ends in a denial."""
    call = {"tool": "Bash", "args": {"command": "ls"}}
    _, lines, _ = tried(["asks"], call)
    assert (lines[0]["verdict"], lines[0]["reason"], lines[0]["output"]) == ("hold", "is it fine?", None)
    answers = ["approve", {"decision": "modify", "by": "Ann", "args": {"command": "pwd"}}, "reject"]
    outcomes = []
    for answer in answers:
        (tmp_path / "effects.json").write_text(json.dumps({"ask": answer}))
        _, lines, _ = tried(["asks", "--effects", "effects.json"], call)
        outcomes.append((lines[0]["verdict"], lines[0]["shown"], lines[0]["output"]))
    assert outcomes == [
        ("hold", "", call),
        ("hold", "", {"tool": "Bash", "args": {"command": "pwd"}}),
        ("deny", "No.", None),
    ]


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ({"score": 0.9, "reason": "it deletes"}, "deny"),
        ('{"score": 0.9}', "deny"),
        ({"score": 0.1}, "score"),
        ("I will not say.", "failed"),
        ({"error": "timeout", "message": "too slow"}, "failed"),
    ],
)
def test_judges_answer_from_a_file(tried: Try, tmp_path: Path, answer: Any, verdict: str) -> None:
    """As a model would, or as it would fail."""
    (tmp_path / "effects.json").write_text(json.dumps({"judge": answer}))
    judge = ["tool_call_judge", "--with", '{"model": "m"}']
    case = {"tool": "Bash", "args": {"command": "ls"}}
    _, lines, _ = tried([*judge, "--effects", "effects.json"], case, case)
    assert [one["verdict"] for one in lines] == [verdict, verdict]
    _, lines, _ = tried(judge, case)
    assert lines[0]["verdict"] == "error"
    assert "asks 'm' for a judge" in lines[0]["reason"]


def test_other_models_answer_from_a_file(tried: Try, tmp_path: Path) -> None:
    """Text, or a whole answer in the format of the call; what the case said is not delivered."""
    case = {"tool": "Bash", "args": {"command": "rm x"}}
    trusted = json.loads(BODIES["openai_chat"](Answer("t", (Call("2", "Read", ('{"path":"x"}',)),), "tool_calls")))
    flags = ["defer_trusted", "--with", '{"judge": "m", "trusted": "t"}', "--effects", "effects.json"]
    outputs = []
    for sample in ("I would rather not.", trusted):
        (tmp_path / "effects.json").write_text(json.dumps({"judge": {"score": 1}, "sample": sample}))
        outputs.append(tried(flags, case)[1][0]["output"])
    assert outputs == ["I would rather not.", {"tool": "Read", "args": {"path": "x"}}]


def test_a_conversation_is_a_session(tried: Try, tmp_path: Path) -> None:
    """What a turn adds, the next one reads; another case begins anew."""
    (tmp_path / "workers" / "thrice.py").write_text(THRICE)
    call = {"id": "1", "type": "function", "function": {"name": "x", "arguments": "{}"}}
    messages: list[Any] = [{"role": "user", "content": "go"}]
    for _ in range(3):
        messages += {"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "user", "content": "on"}
    _, lines, _ = tried(["thrice"], {"messages": messages}, {"messages": messages})
    assert [(one["verdict"], one["reason"]) for one in lines] == [("deny", "turn 3: 2 calls, 2 kept")] * 2


def test_what_else_is_asked_for_must_be_given(tried: Try, tmp_path: Path) -> None:
    """The error says how; a list is used up in order, anew for each case."""
    code, lines, err = tried(["oracle"], {"id": 7, "text": "x"})
    assert (code, lines[0]["id"], lines[0]["verdict"]) == (1, 7, "error")
    assert '--effects FILE.json, {"oracle": ...} or {"0/response/0": ...}' in lines[0]["reason"]
    assert "1 of 1 cases could not be tried" in err
    (tmp_path / "effects.json").write_text('{"oracle": ["yes", "no"]}')
    _, lines, _ = tried(["oracle", "--effects", "effects.json"], {"text": "x"}, {"text": "y"})
    assert [one["output"] for one in lines] == ["yes", "yes"]
