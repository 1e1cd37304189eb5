"""Events as OpenAI-shaped chunks and back. A chunk that comes back as it was is the very event, with its frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from luthien_stream.events.answer import End, Event, StopReason, Text, Thinking, ToolCall
from luthien_stream.policy.errors import BadYield
from luthien_stream.policy.handler.control import RequestMetadata

ABSENT = frozenset({"content", "finish_reason", "function_call", "reasoning_content", "refusal", "tool_calls", "usage"})
"""Fields that read as None by attribute where they are not there, as in the vendor's own classes."""
REASONS = frozenset(get_args(StopReason))
Seen = Text | Thinking | ToolCall | End


class Shape(dict[str, Any]):
    """An object of the API: `chunk["choices"]`, `chunk.choices`."""

    def __getattr__(self, name: str) -> Any:
        if name in self or name in ABSENT:
            return self.get(name)
        raise AttributeError(f"{name!r} is not in this {type(self).__name__.lower()}: {', '.join(self)}")

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def model_dump(self) -> dict[str, Any]:
        """The same as plain dicts."""
        return {name: plain(value) for name, value in self.items()}


class Origin:
    """The event that a chunk stands for, until the chunk is put out: a second copy is a new event."""

    __slots__ = ("event",)

    def __init__(self, event: Seen | None) -> None:
        self.event = event

    def __deepcopy__(self, memo: Any) -> Origin:
        return self


class Chunk(Shape):
    """One chunk of a stream. Copies by `copy` and `deepcopy` still stand for the same event."""

    __slots__ = ("origin",)

    def __init__(self, fields: Mapping[str, Any], origin: Origin) -> None:
        super().__init__(fields)
        object.__setattr__(self, "origin", origin)

    def __copy__(self) -> Chunk:
        return Chunk(self, self.origin)

    def __deepcopy__(self, memo: Any) -> Chunk:
        return Chunk(shaped(self.model_dump()), self.origin)


def plain(value: Any) -> Any:
    """`value` without our classes."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def shaped(value: Any) -> Any:
    """`value` with attributes for the fields of its objects."""
    if isinstance(value, dict):
        return Shape({name: shaped(one) for name, one in value.items()})
    return [shaped(one) for one in value] if isinstance(value, list) else value


def chunk_of(event: Seen, call: RequestMetadata, now: int, calls: int) -> Chunk:
    """Show an event that came in at `now` as a chunk; `calls` counts the tool calls before it."""
    reason: str | None = None
    delta = Shape()
    match event:
        case Text():
            delta["refusal" if event.refusal else "content"] = event.text
        case Thinking():
            delta["reasoning_content"] = event.text
        case ToolCall():
            delta["tool_calls"] = [shaped({"index": calls, **call_fields(event)})]
        case End():
            reason = event.reason
    chunk = Chunk(head(call, "chat.completion.chunk", now), Origin(event))
    chunk["choices"] = [Shape({"index": 0, "delta": delta, "finish_reason": reason})]
    if isinstance(event, End) and event.usage is not None:
        chunk["usage"] = shaped(event.usage)
    return chunk


def head(call: RequestMetadata, kind: str, now: int) -> dict[str, Any]:
    """What identifies an answer; `now` in microseconds since 1970."""
    return {"id": f"chatcmpl-{call.id}", "object": kind, "created": now // 1_000_000, "model": call.model}


def call_fields(call: ToolCall) -> dict[str, Any]:
    """A tool call in the API's form, whatever kind it is."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def events_of(chunk: Any, origin: Origin) -> Iterator[Seen]:
    """What a chunk that a hook put out says. `origin` is what a plain dict may be an edit of.

    Raises `BadYield` for what is no chunk of the first choice, or for a tool call in pieces.
    """
    if not isinstance(chunk, dict):
        raise BadYield(f"put out a {type(chunk).__name__}, which is no chunk")
    source: Origin = getattr(chunk, "origin", origin)
    event, source.event = source.event, None
    for choice in chunk.get("choices") or ():
        if choice.get("index"):
            raise BadYield("put out a second choice")
        yield from _said(choice.get("delta") or {}, event)
        if reason := choice.get("finish_reason"):
            yield end_as(event if isinstance(event, End) else None, reason)


def _said(delta: Mapping[str, Any], event: Event | None) -> Iterator[Seen]:
    thought = delta.get("reasoning_content")
    if isinstance(event, Thinking) and thought is not None:
        yield from _if_said(event, event.with_text(thought))
    elif thought:
        yield Thinking(thought)
    for field, refusal in (("content", False), ("refusal", True)):
        said = delta.get(field)
        if isinstance(event, Text) and event.refusal == refusal and said is not None:
            yield from _if_said(event, event.with_text(said))
        elif said:
            yield Text(said, refusal=refusal)
    for call in delta.get("tool_calls") or ():
        yield call_as(event if isinstance(event, ToolCall) else None, call)


def _if_said(event: Seen, out: Text | Thinking) -> Iterator[Seen]:
    """An edit that leaves no text is no event; an event that came without text (a signature) is."""
    if out is event or out.text:
        yield out


def call_as(event: ToolCall | None, call: Mapping[str, Any]) -> ToolCall:
    """A tool call from its API form: `event` with its arguments, or a new one. Raises `BadYield` if it is not whole."""
    function = call.get("function") or {}
    id, name, arguments = call.get("id"), function.get("name"), function.get("arguments")
    if not (isinstance(id, str) and isinstance(name, str) and isinstance(arguments, str)):
        raise BadYield("put out a tool call in pieces; it needs `id`, `function.name` and all of `function.arguments`")
    if event is not None and (event.id, event.name) == (id, name):
        return event.with_args(arguments)
    return ToolCall(id, name, arguments)


def end_as(event: End | None, reason: Any) -> End:
    """An end with a finish reason. Raises `BadYield` for an unknown one."""
    if reason not in REASONS:
        raise BadYield(f"put out finish_reason {reason!r}; known are {', '.join(sorted(REASONS))}")
    return event.with_reason(reason) if event is not None else End(reason)
