"""Characters that nobody sees in tool calls: what one policy takes out, no gate may have been blind to."""

from __future__ import annotations

import json

import pytest

from luthien_stream.config.model import DEFAULT_PIPELINE, PolicyUse
from luthien_stream.policy import End, ToolCall
from luthien_stream.policy.catalogue import load_pipeline
from luthien_stream.policy.run import run

GATES = ("shell_guard", "sensitive_write", "sql_protection")
UNSEEN = ["\u200b", "\u2060", "\u202e", "\ufe0f", "\U000e0041", "\u200b\u200d"]
ORDERS = {
    "default": tuple(use for use in DEFAULT_PIPELINE if use.mode == "enforce"),
    "gates first": tuple(PolicyUse(name) for name in (*GATES, "hidden_text")),
}
CALLS = [
    ("Bash", {"command": "r{}m -rf /home/ann"}),
    ("Bash", {"command": "cat x; git res{}et --hard"}),
    ("Bash", {"com{}mand": "rm -rf /home/ann"}),
    ("Write", {"file_path": "/home/ann/.ss{}h/authorized_keys", "content": "x"}),
    ("run_sql", {"query": "DR{}OP TABLE users"}),
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("unseen", UNSEEN, ids=ascii)
@pytest.mark.parametrize(("tool", "given"), CALLS)
@pytest.mark.parametrize("escaped", [True, False])
def test_nothing_gets_past_a_gate_by_what_is_taken_out_behind_it(
    order: str, unseen: str, tool: str, given: dict[str, str], escaped: bool
) -> None:
    """Whichever stands first, and however the characters are written."""
    pipeline = load_pipeline(ORDERS[order], None)
    assert pipeline is not None
    said = {name.replace("{}", unseen): text.replace("{}", unseen) for name, text in given.items()}
    transcript = run(pipeline, [ToolCall("a", tool, json.dumps(said, ensure_ascii=escaped)), End("tool_calls")])
    assert transcript.tool_calls == []


@pytest.mark.parametrize("order", ORDERS)
def test_harmless_commands_with_such_characters_pass(order: str) -> None:
    """Emoji, and what is taken out."""
    pipeline = load_pipeline(ORDERS[order], None)
    assert pipeline is not None
    for command in ("echo '\u2764\ufe0f' >> notes.md", "git sta\u200btus", "grep -n '\\\\u200b' a.py"):
        call = ToolCall("a", "Bash", json.dumps({"command": command}))
        assert len(run(pipeline, [call, End("tool_calls")]).tool_calls) == 1
