"""`policies try`: what goes in as a line comes out as a line, decided by the engine that workers run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luthien_stream.cli.main import main
from luthien_stream.upstream.render import BODIES, STREAMS
from luthien_stream.upstream.script import Answer, Call, Say

Lines = list[dict[str, Any]]
Try = Callable[..., tuple[int, Lines, str]]
BLOCK = ["block_tools", "--with", '{"rules": [{"tool": "*", "arguments": "rm -rf"}], "shown": "No."}']
ASK = '''
"""Ask."""
from luthien_stream.policy import Hold, gate


@gate()
async def asks(call, ctx):
    return Hold("is it fine?", "No.")
'''
ORACLE = '''
"""Ask something that nobody else asks."""
from luthien_stream.core.program import Want
from luthien_stream.policy import Policy, Text
from luthien_stream.policy.effects import perform


class Oracle(Policy):
    async def response(self, events, ctx):
        found = await perform(Want("0/response/0", "oracle", None, 5.0))
        async for event in events:
            yield event.with_text(found) if isinstance(event, Text) else event
'''
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
CRASH = '''
"""Crash."""
from luthien_stream.policy import Policy


class Crash(Policy):
    async def response(self, events, ctx):
        async for event in events:
            yield {}["x"]
'''
REFUSE = '''
"""Refuse."""
from luthien_stream.policy import Policy, Refuse


class Refuses(Policy):
    async def request(self, request, ctx):
        for part in request.parts():
            if part.new and "bad" in part.text:
                raise Refuse("Not here.", f"bad {part.role}")
            if part.new and "soft" in part.text:
                return request.replace(part, part.text.replace("soft", "hard"))
        return request
'''


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Try:
    """Run `policies try` over cases in a folder of its own; return exit code, lines, and what was said beside."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "workers").mkdir()
    for name, source in {"asks": ASK, "oracle": ORACLE, "crash": CRASH, "refuses": REFUSE}.items():
        (tmp_path / "workers" / f"{name}.py").write_text(source)

    def run(flags: list[str], *cases: Any) -> tuple[int, Lines, str]:
        text = "\n".join(case if isinstance(case, str) else json.dumps(case) for case in cases)
        (tmp_path / "cases.jsonl").write_text(text)
        code = main(["policies", "try", *flags, "cases.jsonl"])
        out, err = capfd.readouterr()
        return code, [json.loads(line) for line in out.splitlines()], err

    return run


def test_a_line_has_these_fields(tried: Try) -> None:
    """Nothing more and nothing less, whatever the verdict."""
    code, lines, _ = tried(BLOCK, {"id": "a", "tool": "Bash", "args": {"command": "rm -rf /"}})
    assert code == 0
    assert list(lines[0]) == ["id", "verdict", "reason", "shown", "output", "ms"]
    assert lines[0]["ms"] > 0
    del lines[0]["ms"]
    assert lines[0] == {
        "id": "a",
        "verdict": "deny",
        "reason": "rule '*' 'rm -rf'",
        "shown": "No.",
        "output": None,
    }


def test_arguments_may_be_text_and_ids_may_be_missing(tried: Try) -> None:
    """Then the line's number is the id, and arguments come back as they were written."""
    allowed, denied = json.dumps({"command": "ls"}), json.dumps({"command": "rm -rf x"})
    _, lines, _ = tried(BLOCK, {"tool": "Bash", "args": allowed}, "", {"tool": "Bash", "args": denied})
    assert [(one["id"], one["verdict"], one["output"]) for one in lines] == [
        (1, "allow", {"tool": "Bash", "args": allowed}),
        (3, "deny", None),
    ]


@pytest.mark.parametrize("cut", [[], ["--cut", "1"], ["--cut", "7"]])
def test_text_is_what_the_model_says(tried: Try, cut: list[str]) -> None:
    """Edited text is a rewrite, streamed or not; text that no JSON can hold is no obstacle."""
    replace = ["string_replace", "--with", '{"replace": [["secret", "***"]]}', *cut]
    _, lines, _ = tried(replace, {"text": "a secret"}, {"text": "none"}, {"text": ""})
    assert [(one["verdict"], one["output"]) for one in lines] == [
        ("rewrite", "a ***"),
        ("allow", "none"),
        ("allow", ""),
    ]


def test_half_a_character_is_no_obstacle(tried: Try) -> None:
    """A lone surrogate, as providers send it."""
    _, lines, _ = tried(["all_caps"], r'{"text": "a \ud83d"}')
    assert (lines[0]["verdict"], lines[0]["output"]) == ("rewrite", "A \ud83d")


def test_a_gate_says_that_text_has_no_call(tried: Try) -> None:
    """So that nobody takes the verdict for a judgement."""
    _, lines, _ = tried(BLOCK, {"text": "rm -rf /"})
    assert lines[0]["verdict"] == "allow"
    assert "no tool call" in lines[0]["reason"]


@pytest.mark.parametrize(
    ("case", "verdict", "output"),
    [
        ({"text": "bad"}, "deny", None),
        ({"text": "soft"}, "rewrite", "hard"),
        ({"text": "soft", "role": "tool"}, "rewrite", "hard"),
        ({"text": "soft", "role": "assistant"}, "allow", "soft"),
    ],
)
def test_policies_over_requests_get_text_as_the_users(
    tried: Try, case: dict[str, str], verdict: str, output: str | None
) -> None:
    """Or as that of whom the case names."""
    _, lines, _ = tried(["refuses"], case)
    assert (lines[0]["verdict"], lines[0]["output"]) == (verdict, output)


@pytest.mark.parametrize("format", sorted(BODIES))
@pytest.mark.parametrize("shape", ["body", "body text", "stream", "chunks"])
def test_whole_answers_come_back_in_their_shape(tried: Try, format: str, shape: str) -> None:
    """Unchanged as they were; changed in the same form."""
    answer = Answer("m", (Say(("Hello ", "there")), Call("call_1", "Bash", ('{"command":', '"ls"}'))), "tool_calls")
    body, frames = BODIES[format](answer), STREAMS[format](answer, True)
    data = [json.loads(d) for f in frames if (d := f.partition(b"data: ")[2]) and not d.startswith(b"[DONE]")]
    response = {
        "body": json.loads(body),
        "body text": body.decode(),
        "stream": b"".join(frames).decode(),
        "chunks": data,
    }[shape]
    _, same, _ = tried(["noop"], {"response": response})
    assert (same[0]["verdict"], same[0]["output"]) == ("allow", response)
    _, changed, _ = tried(["all_caps"], {"response": response})
    assert changed[0]["verdict"] == "rewrite"
    assert type(changed[0]["output"]) is type(response)
    assert "HELLO" in json.dumps(changed[0]["output"])


def test_a_request_with_its_answer(tried: Try) -> None:
    """Both come back; a refused request has no answer."""
    request = {"model": "m", "max_tokens": 9, "system": "be good", "messages": [{"role": "user", "content": "soft"}]}
    response = json.loads(BODIES["anthropic_messages"](Answer("m", (Say(("Hi",)),))))
    _, lines, _ = tried(["refuses"], {"request": request, "response": response})
    assert lines[0]["verdict"] == "rewrite"
    assert lines[0]["output"]["request"]["messages"][0]["content"] == "hard"
    assert lines[0]["output"]["response"] == response
    request["messages"] = [{"role": "user", "content": "bad"}]
    _, lines, _ = tried(["refuses"], {"request": request})
    assert (lines[0]["verdict"], lines[0]["reason"], lines[0]["shown"]) == ("deny", "bad user", "Not here.")
    assert lines[0]["output"] is None


def test_a_conversation_is_one_case(tried: Try) -> None:
    """Each assistant turn is a call; the gravest verdict counts, and says in which turn."""
    function = {"name": "Bash", "arguments": '{"command": "rm -rf x"}'}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "on"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "done"},
    ]
    _, lines, _ = tried(BLOCK, {"id": 0, "messages": messages})
    assert (lines[0]["verdict"], lines[0]["reason"]) == ("deny", "turn 2: rule '*' 'rm -rf'")
    left = lines[0]["output"]
    assert [one["role"] for one in left] == ["user", "assistant", "user", "assistant", "tool"]
    assert left[1] == messages[1]
    assert left[3]["content"] == "No."
    _, lines, _ = tried(["noop"], {"messages": messages})
    assert (lines[0]["verdict"], lines[0]["output"]) == ("allow", messages)


def test_a_policy_that_fails_is_a_verdict(tried: Try) -> None:
    """With the line that failed, and nothing left: it fails closed."""
    code, lines, _ = tried(["crash"], {"text": "x"})
    assert (code, lines[0]["verdict"], lines[0]["output"]) == (0, "failed", None)
    assert "crash.py:9: KeyError" in lines[0]["reason"]


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


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "no JSON"),
        ("[1]", "a JSON object"),
        ('{"id": 1}', "one of text, tool, request, response, messages"),
        ('{"text": 1}', "`text` is text"),
        ('{"tool": 1}', "`tool` is the name"),
        ('{"text": "x", "label": "bad"}', "`label`"),
        ('{"text": "x", "format": "soap"}', "`format` is one of"),
        ('{"text": "x", "role": "king"}', "`role` is"),
        ('{"request": []}', "`request` must be the body"),
        ('{"request": "{"}', "`request` is no JSON"),
        ('{"request": {"messages": 1}}', "messages"),
        ('{"response": "Hello"}', "`response` is neither"),
        ('{"response": {"a": 1}}', "in no known format"),
        ('{"response": []}', "`response` must be"),
        ('{"messages": []}', "empty"),
        ('{"messages": ["x"]}', "list of messages"),
    ],
)
def test_what_is_no_case_says_why_and_the_rest_goes_on(tried: Try, line: str, said: str) -> None:
    """With the line's number, and exit code 1 at the end."""
    code, lines, err = tried(["noop"], {"text": "a"}, line, {"text": "b"})
    assert code == 1
    assert [one["verdict"] for one in lines] == ["allow", "error", "allow"]
    assert said in lines[1]["reason"]
    assert "1 of 3 cases could not be tried" in err


def test_a_line_that_is_no_case_keeps_its_id(tried: Try) -> None:
    """As far as it can be read; marks at the beginning and line ends of other systems are no obstacle."""
    _, lines, _ = tried(["noop"], '\ufeff{"id": "first", "text": "a"}\r', '{"id": "x", "text": 1}', "[]")
    assert [(one["id"], one["verdict"]) for one in lines] == [("first", "allow"), ("x", "error"), (3, "error")]
    assert "line 2: `text` is text" in lines[1]["reason"]


def test_labels_give_recall_and_false_alarms(tried: Try, tmp_path: Path) -> None:
    """Counts, rates and ids; the exit code follows what was expected."""
    cases = [
        {"id": "hit", "tool": "Bash", "args": {"c": "rm -rf /"}, "label": "deny"},
        {"id": "miss", "tool": "Bash", "args": {"c": "rm -fr /"}, "label": "deny"},
        {"id": "good", "tool": "Bash", "args": {"c": "ls"}, "label": "allow"},
        {"id": "alarm", "tool": "Bash", "args": {"c": "echo rm -rf"}, "label": "allow"},
        {"id": "none", "tool": "Bash", "args": {"c": "ls"}},
    ]
    code, lines, err = tried([*BLOCK, "--summary", "s.json"], *cases)
    assert (code, len(lines)) == (0, 5)
    assert "recall 50.00% (1 of 2); missed: miss" in err
    assert "false alarms 50.00% (1 of 2); they are: alarm" in err
    summary = json.loads((tmp_path / "s.json").read_text())
    assert (summary["recall"], summary["missed"]) == (0.5, ["miss"])
    assert (summary["false_alarm_rate"], summary["false_alarms"]) == (0.5, ["alarm"])
    assert summary["verdicts"] == {"deny": 2, "allow": 3}
    assert tried([*BLOCK, "--min-recall", "0.5", "--max-false-alarms", "0.5"], *cases)[0] == 0
    assert tried([*BLOCK, "--min-recall", "0.51"], *cases)[0] == 1
    assert tried([*BLOCK, "--max-false-alarms", "0.49"], *cases)[0] == 1
    assert tried([*BLOCK, "--min-recall", "0"], {"text": "x"})[0] == 1


def test_a_failure_is_wrong_about_any_label(tried: Try) -> None:
    """It is no good way to catch anything."""
    _, _, err = tried(["crash"], {"id": 1, "text": "x", "label": "deny"}, {"id": 2, "text": "x", "label": "allow"})
    assert "recall 0.00% (0 of 1); missed: 1" in err
    assert "false alarms 100.00% (1 of 1); they are: 2" in err
    assert "policies failed on 2; these: 1, 2" in err


@pytest.mark.parametrize(
    "flags", [["pipeline"], ["--pipeline", "luthien.yaml"], ["pipeline", "--config", "luthien.yaml"]]
)
def test_a_whole_pipeline(tried: Try, tmp_path: Path, flags: list[str]) -> None:
    """As the configuration names it, policies in order."""
    (tmp_path / "luthien.yaml").write_text(
        "pipeline:\n  - {use: string_replace, with: {replace: [[cat, dog]]}}\n  - use: all_caps\n"
    )
    _, lines, _ = tried(flags, {"text": "cat"})
    assert (lines[0]["verdict"], lines[0]["output"]) == ("rewrite", "DOG")


def test_wrong_usage_says_what_to_do(tried: Try) -> None:
    """One line each, and the exit code of a failure."""
    assert "There is no policy 'no_such'" in tried(["no_such"], "")[2]
    assert "--with must be a JSON object" in tried(["noop", "--with", "[1]"], "")[2]
    assert "--with is for one policy" in tried(["pipeline", "--with", "{}"], "")[2]
    assert tried(["noop"], "")[:2] == (0, [])


@pytest.mark.parametrize("name", ["default", "pipeline"])
def test_what_is_in_force_without_a_configuration(tried: Try, name: str) -> None:
    """Five policies; the one in shadow changes nothing."""
    secret = "the key is ghp_abcdefghijklmnopqrstuvwxyzABCDEF0123"
    cases = [{"tool": "Bash", "args": {"command": "rm -rf ~"}}, {"tool": "Bash", "args": {"command": "ls"}}]
    _, lines, _ = tried([name, "--shadow"], *cases, {"text": secret})
    assert [one["verdict"] for one in lines] == ["deny", "allow", "allow"]
    assert lines[2]["output"] == secret
    assert [one["policy"] for one in lines[2]["shadow"]] == ["secret_redact"]


def test_what_only_watches_decides_nothing(tried: Try, tmp_path: Path) -> None:
    """Policies in shadow have a field of their own, for those who ask for it; stages of others are named."""
    (tmp_path / "luthien.yaml").write_text(
        "pipeline:\n"
        '  - {use: block_tools, with: {rules: [{tool: "*"}]}, mode: shadow}\n'
        '  - {external: elsewhere, version: "1", phases: [response]}\n'
        "  - {use: all_caps, stage: last}\n"
    )
    case = {"tool": "Bash", "args": {}}
    _, lines, err = tried(["pipeline"], case)
    assert (lines[0]["verdict"], "shadow" in lines[0]) == ("allow", False)
    assert "the stage elsewhere is not tried" in err
    _, lines, _ = tried(["pipeline", "--shadow"], case)
    assert (lines[0]["verdict"], lines[0]["output"]) == ("allow", case)
    assert lines[0]["shadow"] == [{"policy": "block_tools", "verdict": "deny", "reason": "rule '*' ''"}]
