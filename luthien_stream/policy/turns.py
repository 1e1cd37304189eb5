"""A conversation as turns, read from the request itself: agents send their whole history with every call."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from luthien_stream.core.lens import Request, RequestPart
from luthien_stream.events.answer import Event, Text, ToolCall


class ToolResult(Struct, frozen=True):
    """What a tool call came to; `name` is the tool's, where the history has the call."""

    id: str
    name: str
    text: str


class Turn(Struct, frozen=True):
    """What came in, and what the model made of it. The last turn of a request has no answer yet."""

    user: tuple[str, ...] = ()
    """Texts of the user, and what the agent put into the user's messages."""
    tool_results: tuple[ToolResult, ...] = ()
    text: str = ""
    """The model's prose."""
    tool_calls: tuple[ToolCall, ...] = ()
    new: bool = False
    """What came in stands in this request for the first time."""

    def answered(self, events: Sequence[Event]) -> Turn:
        """This turn with an answer."""
        said = "".join(event.text for event in events if isinstance(event, Text))
        calls = tuple(event for event in events if isinstance(event, ToolCall))
        return Turn(self.user, self.tool_results, self.text + said, (*self.tool_calls, *calls), self.new)


def turns_of(request: Request) -> tuple[Turn, ...]:
    """Return the turns of a request, oldest first; the last one is what the model is to answer."""
    turns: list[Turn] = []
    parts: list[RequestPart] = []
    for part in request.parts():
        if part.role in ("system", "developer"):
            continue
        if parts and _is_models(parts[-1]) and not _is_models(part):
            turns.append(_turn(parts))
            parts = []
        parts.append(part)
    if parts:
        turns.append(_turn(parts))
    return tuple(turns)


def _is_models(part: RequestPart) -> bool:
    return part.role == "assistant" or part.kind == "tool_call"


def _turn(parts: Sequence[RequestPart]) -> Turn:
    results: dict[str, ToolResult] = {}
    for part in parts:
        if part.kind == "tool_result":
            before = results.get(part.id)
            text = f"{before.text}\n{part.text}" if before else part.text
            results[part.id] = ToolResult(part.id, part.name, text)
    said = [part for part in parts if part.kind == "text"]
    return Turn(
        tuple(part.text for part in said if not _is_models(part)),
        tuple(results.values()),
        "".join(part.text for part in said if _is_models(part)),
        tuple(ToolCall(part.id, part.name, part.text) for part in parts if part.kind == "tool_call"),
        any(part.new for part in parts),
    )
