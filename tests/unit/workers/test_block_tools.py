"""`block_tools` denies tool calls by name and arguments."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from luthien_stream.policy import End, Event, Text, ToolCall, run
from luthien_stream.testing.laws import laws
from tests.unit.workers.configured import made

RULES: list[dict[str, Any]] = [{"tool": "Bash", "arguments": r"rm +-rf"}, {"tool": "mcp__*__delete"}]


def is_denied(name: str, arguments: str, kind: Any = "function") -> bool:
    came: list[Event] = [ToolCall("1", name, arguments, kind=kind), End("tool_calls")]
    return not run(made("block_tools", rules=RULES), came).tool_calls


@pytest.mark.parametrize(
    ("name", "arguments", "denied"),
    [
        ("Bash", '{"command":"rm -rf /"}', True),
        ("Bash", '{"command":"ls"}', False),
        ("bash", '{"command":"rm -rf /"}', False),
        ("Bash", r'{"command":"r\u006d -rf /"}', True),
        ("Bash", r'{"a":{"b":["x","rm  -rf y"]}}', True),
        ("Bash", r'{"rm -rf":1}', True),
        ("Bash", "{", True),
        ("mcp__files__delete", "{}", True),
        ("mcp__files__read", "{}", False),
    ],
)
def test_rules(name: str, arguments: str, denied: bool) -> None:
    """Globs match the name, expressions the arguments, JSON escapes or not; unreadable arguments match."""
    assert is_denied(name, arguments) == denied


def test_free_text_arguments_are_read_as_they_are() -> None:
    """A custom tool's input need not be JSON."""
    assert is_denied("Bash", "rm -rf /", "custom")
    assert not is_denied("Bash", "ls", "custom")


def test_the_agent_is_told_a_constant() -> None:
    """Which rule it was stands in the log only."""
    came: list[Event] = [Text("I delete."), ToolCall("1", "Bash", '{"command":"rm -rf /"}'), End("tool_calls")]
    transcript = run(made("block_tools", rules=RULES, shown="Not allowed."), came)
    assert transcript.text == "I delete.\n\nNot allowed."
    (verdict,) = transcript.verdicts
    assert (verdict.kind, verdict.about, verdict.shown) == ("deny", "1", "Not allowed.")
    assert "rm +-rf" in verdict.reason


def test_a_bad_expression_is_refused() -> None:
    """The message names the rule."""
    with pytest.raises(msgspec.ValidationError, match=r"no regular expression.*rules\[0\]"):
        made("block_tools", rules=[{"tool": "Bash", "arguments": "("}])


@pytest.mark.parametrize("rules", [RULES, [{"tool": "*"}], []])
def test_laws(rules: list[dict[str, Any]]) -> None:
    """It holds to the laws of all policies."""
    laws(made("block_tools", rules=rules))
