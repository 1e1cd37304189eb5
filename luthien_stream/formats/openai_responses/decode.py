"""OpenAI's streamed responses to events: the provider's grammar is kept here, one item open at a time.

The start of a text waits for its first delta, its end for the end of its item; a tool call is gathered whole. Items of
kinds that no policy sees flow by frame by frame, as mute frames.
"""

from __future__ import annotations

from msgspec.structs import replace

from luthien_stream.core.sse import data_of
from luthien_stream.events.answer import End, Event, Kinds, Opaque, Part, PartEnd, Text, Thinking, ToolCall
from luthien_stream.formats.cell import readable, silent
from luthien_stream.formats.errors import ProtocolError
from luthien_stream.formats.openai_responses.ending import error_said, is_empty, read_ending
from luthien_stream.formats.openai_responses.items import (
    MESSAGE,
    REASONING,
    TOOLS,
    call_of,
    read_item,
    words,
)
from luthien_stream.formats.openai_responses.message import Items, MessageDecoder, Opened
from luthien_stream.formats.openai_responses.repeats import Repeats
from luthien_stream.formats.openai_responses.source import ENDING
from luthien_stream.formats.openai_responses.wire import (
    ENDS,
    FORMAT,
    ITEM_ADDED,
    ITEM_DONE,
    LIFE,
    OF_ITEMS,
    SILENT,
    Frame,
    Start,
    inside,
    is_done,
    read,
    read_fast,
)


class StreamDecoder(MessageDecoder):
    """Frames of one streamed answer to events, in order. Raises `ProtocolError` where the grammar is broken."""

    def __init__(self, sees: Kinds) -> None:
        super().__init__(sees)
        self._item: Opened | None = None

    def frame(self, raw: bytes) -> Items:
        """Take one frame; return what is complete now."""
        self._place += 1
        if not raw.isascii():
            readable(raw)
        data = data_of(raw)
        if not data:
            return self._mute(silent(raw))
        try:
            frame = read_fast(data)
        except (ValueError, RecursionError):
            if is_done(data):
                return self._mute(raw)
            frame = read(data)
        part = self._part
        if (
            part is not None
            and frame.type == "response.output_text.delta"
            and frame.output_index == part.index
            and frame.content_index == part.start.content
            and not self._held.frames
            and frame.delta
            and frame.delta.__class__ is str
        ):
            self._keep(len(frame.delta))
            return [Text(frame.delta, part, False, raw, self._place)]
        return self._other(frame, raw)

    def close(self, rest: bytes = b"") -> Items:
        """The stream ended. Half a frame is withheld: no client can read it, and no policy could."""
        found: list[bytes | Event] = []
        if rest and not self.over:
            found = self._last(rest)
        if self.over:
            return found
        self.over = "cut"
        return [*found, End("cut", usage=self.usage, part=ENDING)]

    def _last(self, rest: bytes) -> list[bytes | Event]:
        data = data_of(rest)
        try:
            whole = read(data) if data and not is_done(data) else None
        except ProtocolError:
            return []
        if whole is None:
            return []
        return list(self.frame(rest if whole.type in ENDS else rest.rstrip(b"\r\n") + b"\n\n"))

    def _other(self, frame: Frame, raw: bytes) -> Items:
        type, item = frame.type, self._item
        if type in SILENT:
            return self._mute(raw)
        if self.over:
            raise ProtocolError(f"The provider sent {type or 'an event'} after the end of its answer.")
        if type in LIFE:
            return self._life(type, raw)
        if type in ENDS or (not type and frame.error):
            return self._end(frame, raw)
        if type == ITEM_ADDED:
            return self._open(frame, raw)
        if item is not None and item.owns(frame):
            return self._inside(frame, raw, item)
        if type in OF_ITEMS:
            raise ProtocolError(f"The provider sent {type} outside its item.")
        return self._unknown(frame, raw)

    def _mute(self, raw: bytes) -> Items:
        if not self._held.frames or self.over:
            return [raw]
        self._held.add(raw)
        return ()

    def _life(self, type: str, raw: bytes) -> Items:
        response = inside(raw, "response")
        if not is_empty(response) or (type == "response.created" and self.head is not None):
            raise ProtocolError("The provider began its response twice, or with output in it.")
        self.head = self.head or response
        return self._mute(raw)

    def _open(self, frame: Frame, raw: bytes) -> Items:
        position = frame.output_index
        if self._item is not None or self.head is None or position < 0 or position in self.orders:
            raise ProtocolError("The provider began an item inside another one, twice, or outside its response.")
        added = inside(raw, "item")
        found = read_item(added)
        tool = found.type in TOOLS
        self.calls += tool
        self.orders[position] = len(self.orders)
        flow = self._flow_of(found.type, tool)
        item = self._item = Opened(found.type, found.id or "", position, raw, flow)
        if flow == "pass":
            return [raw]
        if tool:
            item.repeats = Repeats(added)
        if flow == "thinking":
            item.part = Part(FORMAT, "thinking", item.index, Start(raw, id=item.id))
        self._held.add(raw)
        return ()

    def _flow_of(self, type: str, tool: bool) -> str:
        if type in (MESSAGE, REASONING):
            return "text" if type == MESSAGE else "thinking"
        return "gather" if (ToolCall if tool else Opaque) in self._sees else "pass"

    def _inside(self, frame: Frame, raw: bytes, item: Opened) -> Items:
        if frame.type == ITEM_DONE:
            return self._close(raw, item)
        if item.flow == "pass":
            return [raw]
        if item.flow == "gather":
            self._held.add(raw)
            if item.repeats is not None:
                item.repeats.add(frame, raw)
            return ()
        return self._thought(frame, raw, item) if item.flow == "thinking" else self._message(frame, raw, item)

    def _thought(self, frame: Frame, raw: bytes, item: Opened) -> Items:
        if not frame.delta or not isinstance(frame.delta, str):
            self._held.add(raw)
            return ()
        self._keep(len(frame.delta))
        self.thoughts[item.index] = self.thoughts.get(item.index, 0) + 1
        return self._given(Thinking(frame.delta, item.part, True), raw)

    def _close(self, raw: bytes, item: Opened) -> Items:
        self._item = self._part = None
        done = inside(raw, "item")
        self._keep(len(done))
        if read_item(done).type != item.type:
            raise ProtocolError(f"The provider ended an item of type {item.type} as one of another type.")
        if item.flow == "pass":
            return [raw]
        if item.flow == "gather":
            return self._whole(raw, done, item)
        if item.flow == "text":
            words(done)  # the framer reads them
        if item.flow == "thinking" and item.index in self.thoughts:
            self.closings[item.index] = (*self._held.frames, raw)
        elif not item.spoke and item.contents <= 1:
            return self._never_streamed(raw, done, item)
        elif item.unsaid:
            raise ProtocolError("The provider never streamed the text of one of several contents.")
        return self._given(PartEnd(item.part), raw)

    def _whole(self, raw: bytes, done: bytes, item: Opened) -> Items:
        start = Start(done, id=item.id, whole=True)
        if item.repeats is None:
            return self._given(Opaque(item.type or "unknown", Part(FORMAT, item.type, item.index, start)), raw)
        call = call_of(done, Part(FORMAT, "tool", item.index, start))
        if item.repeats.agree(done):
            return self._given(call, raw)
        self.notes.add("repeats_differ", f"The provider's frames of a call of {call.name} do not say the same.")
        self._held.take()
        pending, self._pending = self._pending, []
        return [*(replace(event, src=event.part.start.item) for event in pending if event.part is not None), call]

    def _end(self, frame: Frame, raw: bytes) -> Items:
        if frame.type in ("error", "response.failed", ""):
            return self._failed(frame, raw)
        response = inside(raw, "response")
        ending, incomplete = read_ending(response), frame.type == "response.incomplete"
        if self.head is None or (self._item is not None and not incomplete):
            raise ProtocolError("The provider ended its response inside an item, or before it began.")
        if not self.orders and not is_empty(response):
            raise ProtocolError("The provider sent output that it never streamed.")
        self.usage = ending.usage or self.usage
        self.over, self.ending = ending.reason(incomplete, self.calls), raw
        return [*self._unfinished(), End(self.over, ending.raw_reason, self.usage, None, ENDING, raw, self._place)]

    def _unfinished(self) -> list[Event]:
        """What there was of an item that the end left open: a call that never became whole is nobody's."""
        item, self._item, self._part = self._item, None, None
        self._held.take()
        self._pending = []
        begun = item is not None and item.part is not None and (item.spoke or item.index in self.thoughts)
        return [PartEnd(item.part)] if begun and item is not None else []

    def _failed(self, frame: Frame, raw: bytes) -> Items:
        self._held.take()
        self._pending, self._item, self._part = [], None, None
        self.over, error = "error", frame.error or {"code": frame.code}
        if frame.type == "response.failed":
            ending = read_ending(inside(raw, "response"))
            error, self.usage = ending.error, ending.usage
        return [End("error", None, self.usage, error_said(error, frame.message), ENDING, raw, self._place)]
