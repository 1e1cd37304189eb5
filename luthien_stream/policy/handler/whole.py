"""A whole answer as one OpenAI-shaped response, and the response that a hook returned as events again.

What the hook left alone leaves as it came; where it edited text, only the pieces that its edit touches change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from luthien_stream.events.answer import End, Event, Text, Thinking, ToolCall
from luthien_stream.policy.errors import BadYield
from luthien_stream.policy.handler.chunk import Shape, call_as, call_fields, end_as, head, shaped
from luthien_stream.policy.handler.control import RequestMetadata
from luthien_stream.policy.tail import Edit, rewrite

_FIELDS = ("content", "refusal", "reasoning_content")


def response_of(events: Sequence[Event], call: RequestMetadata) -> Shape:
    """Show all events of an answer as one response."""
    said = _texts(events)
    message: dict[str, Any] = {"role": "assistant", "content": said["content"] or None}
    message |= {field: said[field] for field in _FIELDS[1:] if said[field]}
    if calls := [call_fields(event) for event in events if isinstance(event, ToolCall)]:
        message["tool_calls"] = calls
    end = _end(events)
    choice = {"index": 0, "message": message, "finish_reason": end.reason}
    fields = {**head(call, "chat.completion", call.timestamp), "choices": [choice]}
    if end.usage is not None:
        fields["usage"] = end.usage
    shape: Shape = shaped(fields)
    return shape


def events_as(response: Any, events: Sequence[Event]) -> Iterator[Event]:
    """The events of an answer, as a hook's response says them. Raises `BadYield` for what is no response."""
    choices = response.get("choices") if isinstance(response, Mapping) else None
    if not isinstance(choices, list) or len(choices) != 1:
        raise BadYield(f"returned a {type(response).__name__} that is no response with one choice")
    message, end = choices[0].get("message") or {}, _end(events)
    texts = _Texts(events, message)
    known = {event.id: event for event in events if isinstance(event, ToolCall)}
    calls = [call_as(known.get(call.get("id")), call) for call in message.get("tool_calls") or ()]
    for event in events:
        if isinstance(event, Text | Thinking):
            yield from texts.edited(event)
        elif isinstance(event, ToolCall):
            if calls:
                yield calls.pop(0)
        elif not isinstance(event, End):
            yield event
    yield from texts.added()
    yield from calls
    yield end_as(end, choices[0].get("finish_reason") or end.reason)


class _Texts:
    """What became of the texts of a message, field by field."""

    def __init__(self, events: Sequence[Event], message: Mapping[str, Any]) -> None:
        before = _texts(events)
        after = {field: message.get(field) or "" for field in _FIELDS}
        if not all(isinstance(text, str) for text in after.values()):
            raise BadYield("returned a message whose content is no text")
        self._at = dict.fromkeys(_FIELDS, 0)
        self._edits = {field: edits(before[field], after[field]) for field in _FIELDS}
        self._added = {field: after[field] for field in _FIELDS if after[field] and not before[field]}

    def edited(self, event: Text | Thinking) -> Iterator[Event]:
        """The event with its share of the edits; nothing where that leaves no text."""
        field = _field(event)
        changed = event.with_text(rewrite(event.text, self._at[field], self._edits[field]))
        self._at[field] += len(event.text)
        if changed.text or changed is event:
            yield changed

    def added(self) -> Iterator[Event]:
        """Texts where there were none."""
        for field, text in self._added.items():
            yield Thinking(text) if field == "reasoning_content" else Text(text, refusal=field == "refusal")


def edits(before: str, after: str) -> list[Edit]:
    """The one edit that makes `after` of `before`: what stands before and behind it is the same in both."""
    shorter = min(len(before), len(after))
    start = next((at for at in range(shorter) if before[at] != after[at]), shorter)
    same = next((at for at in range(shorter - start) if before[-1 - at] != after[-1 - at]), shorter - start)
    end = len(before) - same
    if before == after or not before:
        return []
    if start == end:  # an edit needs something to stand for
        start, end = (start - 1, end) if start else (start, end + 1)
    return [(start, end, after[start : end + len(after) - len(before)])]


def _texts(events: Sequence[Event]) -> dict[str, str]:
    said: dict[str, list[str]] = {field: [] for field in _FIELDS}
    for event in events:
        if isinstance(event, Text | Thinking):
            said[_field(event)].append(event.text)
    return {field: "".join(texts) for field, texts in said.items()}


def _field(event: Text | Thinking) -> str:
    if isinstance(event, Thinking):
        return "reasoning_content"
    return "refusal" if event.refusal else "content"


def _end(events: Sequence[Event]) -> End:
    return next((event for event in reversed(events) if isinstance(event, End)), End("stop"))
