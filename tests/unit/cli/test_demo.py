"""What `luthien-stream demo` shows of a call, on a terminal, in a pipe, and as JSON."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from luthien_stream.cli.demo import ADVICE, Lanes, _as_object, _outcome, show
from luthien_stream.cli.demo_session import MESSAGES, Exchange, reaction, readable
from luthien_stream.config.load import load_config
from luthien_stream.policy.catalogue import load_pipeline
from luthien_stream.upstream.render import anthropic_stream
from luthien_stream.upstream.script import Answer, Call, Say

DEED = Answer("demo/agent", (Say(("Let me ", "see.")), Call("call_1", "Bash", ('{"command":', ' "rm"}'))), "tool_calls")
RAW = b"".join(anthropic_stream(DEED))
EXCHANGE = Exchange("agent", MESSAGES, "0197", 200, RAW, 12.3, 45.6)


def shown(lanes: Lanes, *, terminal: bool) -> str:
    """What is printed of the exchange."""
    out = StringIO()
    show(Console(file=out, force_terminal=terminal, width=100, color_system=None), EXCHANGE, lanes)
    return out.getvalue()


def test_people_read_text_and_tool_calls() -> None:
    """An answer is its text and a line for each tool call."""
    assert readable(MESSAGES, RAW) == 'Let me see.\n[Bash {"command": "rm"}]'


def test_a_terminal_shows_both_lanes_side_by_side() -> None:
    """The two lanes stand in one line."""
    lines = shown(Lanes("I shall ZAP it.", ["block_tools: deny"]), terminal=True).splitlines()
    assert any("I shall ZAP it." in line and "Let me see." in line for line in lines)
    assert lines[-1].startswith("block_tools: deny; first byte 12 ms")


def test_a_pipe_gets_plain_lines() -> None:
    """No frames and no colours where nobody looks."""
    text = shown(Lanes(None, []), terminal=False)
    assert "the model said: (not recorded)\ndelivered:      Let me see." in text
    assert "│" not in text


@pytest.mark.parametrize(
    ("lanes", "outcome"),
    [
        (Lanes("a", []), "unchanged"),
        (Lanes("b", []), "changed"),
        (Lanes(None, []), "no record"),
        (Lanes("b", ["x: deny"]), "x: deny"),
    ],
)
def test_the_outcome_is_a_word(lanes: Lanes, outcome: str) -> None:
    """Verdicts if there are any, else whether the lanes differ."""
    assert _outcome(lanes, "a") == outcome


def test_json_has_both_lanes() -> None:
    """One object a call."""
    found = _as_object(EXCHANGE, Lanes("x", []))
    assert (found["call_id"], found["original"], found["first_ms"]) == ("0197", "x", 12.3)
    assert found["delivered"].startswith("Let me see.")


def test_the_session_goes_on_with_what_was_delivered() -> None:
    """A tool call that came through gets a result; nothing was executed."""
    assistant, user = reaction(MESSAGES, RAW)
    assert [block["type"] for block in assistant["content"]] == ["text", "tool_use"]
    assert user["content"][0]["tool_use_id"] == "call_1"
    assert (
        reaction(MESSAGES, b"".join(anthropic_stream(Answer("m", (Say(("No.",)),)))))[1]["content"] == "Then leave it."
    )


def test_the_advice_is_a_configuration(tmp_path: Path) -> None:
    """What a newcomer is told to write can be loaded."""
    path = tmp_path / "luthien.yaml"
    path.write_text("\n".join(line[2:] for line in ADVICE.splitlines() if line.startswith("  ")))
    pipeline = load_pipeline(load_config(path, {}).pipeline, None)
    assert pipeline is not None
    assert [bound.name for bound in pipeline.policies] == ["string_replace", "block_tools"]
