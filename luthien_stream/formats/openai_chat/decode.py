"""OpenAI's streamed chat answers to events.

Text and thinking come out chunk by chunk. From the first piece of a tool call on, all chunks are gathered until the
finish; from the finish on, until `[DONE]` or the end of the stream. The end of a part is made where the kind changes.
"""

from __future__ import annotations

from collections.abc import Sequence

from luthien_stream.core.sse import data_of
from luthien_stream.events.answer import Cell, End, Event, Kinds, Opaque, Part, PartEnd, Text, Thinking, ToolCall
from luthien_stream.formats.cell import Gather, gathered, readable, silent
from luthien_stream.formats.errors import ProtocolError
from luthien_stream.formats.openai_chat.calls import Calls
from luthien_stream.formats.openai_chat.source import CALL_PIECES, LOOSE, Source
from luthien_stream.formats.openai_chat.wire import (
    FORMAT,
    REASONS,
    Choice,
    Chunk,
    Delta,
    head_of,
    is_done,
    opaque_names,
    read,
    read_fast,
)

Items = Sequence[bytes | Event]


class StreamDecoder(Source):
    """Frames of one streamed answer to events, in order. Raises `ProtocolError` for what cannot be shown."""

    def __init__(self, sees: Kinds) -> None:
        super().__init__()
        self._sees = sees
        self._gathers = ToolCall in sees
        self._part: Part | None = None
        self._kind = ""
        self._parts = 0
        self._calls = Calls()
        self._held = Gather()
        self._pending: list[Event] = []  # events of the cell that is being gathered
        self._reason: str | None = None
        self._ending = False

    def frame(self, raw: bytes) -> Items:
        """Take one frame; return what is complete now."""
        if not raw.isascii():
            readable(raw)
        data = data_of(raw)
        if not data:
            return self._mute(silent(raw))
        if is_done(data):
            return self._done(raw)
        try:
            chunk = read_fast(data)
        except (ValueError, RecursionError):
            chunk = read(data)
        if chunk.usage:
            self.usage = chunk.usage
        if not chunk.choices or chunk.error:
            return self._without_choice(chunk, raw)
        choice = chunk.choices[0]
        delta = choice.delta
        if self.over or len(chunk.choices) > 1 or choice.index or delta is None:
            return self._odd(chunk, raw, data)
        if (
            self._kind == "text"
            and not self._held.frames
            and delta.content
            and choice.finish_reason is None
            and _plain(delta)
        ):
            return [Text(delta.content, self._part, False, raw)]
        return self._choice(choice, delta, raw, data)

    def close(self, rest: bytes = b"") -> Items:
        """The stream ended. Half a frame is withheld: no client can read it, and no policy could."""
        found: list[bytes | Event] = []
        if rest and not self.over:
            found = self._last(rest)
        if self.over:
            return found
        if self._ending:
            return [*found, *self._end()]
        self.over = "cut"
        return [*found, End("cut", usage=self.usage, part=LOOSE)]

    def _last(self, rest: bytes) -> list[bytes | Event]:
        data = data_of(rest)
        if not data:
            return []
        if is_done(data):
            return list(self.frame(rest))
        try:
            read(data)
        except ProtocolError:
            return []
        return list(self.frame(rest.rstrip(b"\r\n") + b"\n\n"))

    def _mute(self, raw: bytes) -> Items:
        if not self._held.frames:
            return [raw]
        self._held.add(raw)
        return ()

    def _done(self, raw: bytes) -> Items:
        if self.over:
            return [raw]
        self._held.add(raw)
        return self._end()

    def _end(self) -> Items:
        """All that is gathered, with the end: one cell."""
        self.over = REASONS.get(self._reason or "", "stop")
        events = [*self._pending, *self._end_part(), *self._calls.take()]
        events.append(End(self.over, self._reason, self.usage, part=LOOSE))
        placed = gathered(self._held.take(), events)
        src = placed[-1].src
        self.ending = src if isinstance(src, Cell) else None
        return placed

    def _without_choice(self, chunk: Chunk, raw: bytes) -> Items:
        if chunk.error:
            return self._error(chunk.error, raw)
        if self.over:
            raise ProtocolError("The provider sent a chunk after the end of its answer.")
        if chunk.choices is not None or Opaque not in self._sees:
            return self._mute(raw)
        return [Opaque("unknown", LOOSE, True, raw)]

    def _error(self, error: object, raw: bytes) -> Items:
        if self.over:
            return [raw]
        self._held.take()
        self.over = "error"
        said = error if isinstance(error, dict) else {"message": str(error)}
        message = f"{said.get('type') or said.get('code') or 'error'}: {said.get('message', 'the provider failed')}"
        return [End("error", None, self.usage, message, LOOSE, raw)]

    def _odd(self, chunk: Chunk, raw: bytes, data: bytes) -> Items:
        """A chunk after the end, or of more than one choice, or of one without a delta."""
        choices = chunk.choices or []
        if self.over:
            raise ProtocolError("The provider sent a chunk after the end of its answer.")
        if len(choices) > 1 or choices[0].index:
            if self._sees:
                raise ProtocolError("The provider sent a second choice: policies see one answer only.")
            return self._mute(raw)
        return self._choice(choices[0], Delta(), raw, data)

    def _choice(self, choice: Choice, delta: Delta, raw: bytes, data: bytes) -> Items:
        if self.head is None:
            self.head = head_of(data)
        self.role = self.role or bool(delta.role)
        events = self._pieces(delta)
        calls = bool(delta.tool_calls or delta.function_call)
        if calls:
            events += self._call_pieces(delta, data, bool(events or choice.finish_reason))
        if choice.finish_reason and not self._ending:
            return self._finish(choice.finish_reason, events, calls, raw)
        if self._held.frames or (calls and self._gathers):
            self._held.add(raw)
            return self._gather(events)
        carried = [event for event in events if not isinstance(event, PartEnd)]
        if not carried:
            return [raw]
        if len(carried) == 1 and not delta.role and isinstance(carried[0], Text | Thinking):
            return [*events[:-1], _from(carried[0], raw)]
        return gathered([raw], events)

    def _pieces(self, delta: Delta) -> list[Event]:
        """What a delta says, but for its calls, with the ends of parts between."""
        events: list[Event] = []
        if thought := delta.reasoning_content or delta.reasoning:
            events += [*self._enter("thinking"), Thinking(thought, self._part)]
        if delta.content:
            self.said = True
            events += [*self._enter("text"), Text(delta.content, self._part)]
        if delta.refusal:
            self.said = True
            events += [*self._enter("refusal"), Text(delta.refusal, self._part, True)]
        if names := opaque_names(delta):
            events.append(Opaque(",".join(names), self._part or LOOSE, False))
        return events

    def _call_pieces(self, delta: Delta, data: bytes, mates: bool) -> list[Event]:
        """Take the pieces of calls; where nobody sees calls, what shares a chunk with others goes as an event."""
        if self._gathers:
            self._calls.add(delta, data)
            self.calls = self._calls.count
            return self._end_part()
        self.calls = 1
        return [Opaque(CALL_PIECES, LOOSE, False)] if mates or self._held.frames else []

    def _gather(self, events: list[Event]) -> Items:
        """Keep events for their cell; ends of parts need not wait unless something before them does."""
        if not self._pending and all(isinstance(event, PartEnd) for event in events):
            return events
        self._pending += events
        return ()

    def _finish(self, reason: str, events: list[Event], calls: bool, raw: bytes) -> Items:
        self._reason, self._ending = reason, True
        if events or calls or self._pending:
            self._held.add(raw)
            return self._gather(events)
        out = [*self._end_part(), *gathered(self._held.take(), self._calls.take())]
        self._held.add(raw)
        return out

    def _enter(self, kind: str) -> list[Event]:
        if kind == self._kind:
            return []
        ended = self._end_part()
        self._part, self._kind = Part(FORMAT, kind, self._parts), kind
        self._parts += 1
        return ended

    def _end_part(self) -> list[Event]:
        part, self._part, self._kind = self._part, None, ""
        return [] if part is None else [PartEnd(part)]


def _plain(delta: Delta) -> bool:
    return not (
        delta.role
        or delta.tool_calls
        or delta.refusal
        or delta.reasoning_content
        or delta.reasoning
        or delta.function_call
        or delta.audio
        or delta.provider_specific_fields
        or delta.others
    )


def _from(event: Event, raw: bytes) -> Event:
    if isinstance(event, Text):
        return Text(event.text, event.part, event.refusal, raw)
    return Thinking(event.text, event.part, False, raw) if isinstance(event, Thinking) else event
