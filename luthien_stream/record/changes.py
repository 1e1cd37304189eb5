"""What differs between two things said, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from luthien_stream.events.answer import ToolCall
from luthien_stream.record.speech import Speech

What = Literal["request", "text", "thinking", "tool_added", "tool_removed", "tool_changed", "end", "model", "events"]


class Changed(NamedTuple):
    """One difference."""

    what: What
    before: str = ""
    after: str = ""


def changes(before: Speech, after: Speech) -> list[Changed]:
    """Return what differs from `before` to `after`: text, thinking, tool calls in the order of the first."""
    found = [Changed(name, a, b) for name, a, b in _texts(before, after) if a != b]
    return [*found, *_tools(before.tools, after.tools)]


def _texts(before: Speech, after: Speech) -> Iterator[tuple[Literal["text", "thinking"], str, str]]:
    yield "text", before.text, after.text
    yield "thinking", before.thinking, after.thinking


def _tools(before: Sequence[ToolCall], after: Sequence[ToolCall]) -> Iterator[Changed]:
    left = list(after)
    for call in before:
        same = next((other for other in left if other.id == call.id and other.name == call.name), None)
        if same is None:
            yield Changed("tool_removed", shown(call))
            continue
        left.remove(same)
        if _args(same) != _args(call):
            yield Changed("tool_changed", shown(call), shown(same))
    for call in left:
        yield Changed("tool_added", "", shown(call))


def shown(call: ToolCall) -> str:
    """Return a tool call as one line."""
    return f"{call.name}({call.arguments})"


def _args(call: ToolCall) -> Any:
    try:
        return call.args
    except msgspec.DecodeError:
        return call.arguments
