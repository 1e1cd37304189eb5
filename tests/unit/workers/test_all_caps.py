"""`all_caps` writes text in capitals."""

from __future__ import annotations

from luthien_stream.policy import Event, Text, Thinking, ToolCall, run
from luthien_stream.testing.laws import laws
from tests.unit.workers.configured import made


def test_text_is_in_capitals() -> None:
    """Letters of all scripts, and nothing else."""
    assert run(made("all_caps"), [Text("Straße, naïve 1 "), Text("日本")]).text == "STRASSE, NAÏVE 1 日本"


def test_tool_calls_and_thinking_stay() -> None:
    """Arguments in capitals would be other arguments."""
    came: list[Event] = [Thinking("hm", signed=True), ToolCall("1", "t", '{"a":"b"}')]
    assert run(made("all_caps"), came).events[:2] == came


def test_laws() -> None:
    """It holds to the laws of all policies."""
    laws(made("all_caps"))
