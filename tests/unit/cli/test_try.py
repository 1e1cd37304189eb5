"""`policies try`: what goes in as a line comes out as a line, decided by the engine that workers run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from luthien_stream.upstream.render import BODIES, STREAMS
from luthien_stream.upstream.script import Answer, Call, Say
from tests.unit.cli.trying import Try

BLOCK = ["block_tools", "--with", '{"rules": [{"tool": "*", "arguments": "rm -rf"}], "shown": "No."}']


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
