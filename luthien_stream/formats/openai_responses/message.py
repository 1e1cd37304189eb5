"""The messages of a streamed response to events, and how frames become the cells of events.

The start of a text waits for its first delta, its end for the end of its item or for the next content.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from luthien_stream.events.answer import Event, Kinds, Opaque, Part, PartEnd, Text, Thinking
from luthien_stream.formats.cell import GATHER_LIMIT, Gather
from luthien_stream.formats.errors import ProtocolError
from luthien_stream.formats.openai_responses.items import read_content, thoughts, words
from luthien_stream.formats.openai_responses.repeats import Repeats
from luthien_stream.formats.openai_responses.source import LOOSE, Run, Source
from luthien_stream.formats.openai_responses.wire import (
    ANNOTATION,
    CONTENT,
    CONTENT_ADDED,
    CONTENT_DONE,
    FORMAT,
    TEXT_DELTAS,
    TEXT_DONE,
    Frame,
    Start,
    inside,
)

Items = Sequence[bytes | Event]


class Opened:
    """The item that is open."""

    def __init__(self, type: str, id: str, index: int, frame: bytes, flow: str) -> None:
        self.type, self.id, self.index, self.frame = type, id, index, frame
        self.flow = flow  # text, thinking, gather, pass
        self.part: Part | None = None  # of the content that is open, or of the reasoning
        self.contents = 0
        self.spoke = False  # the open content has given an event
        self.closing = False  # the end of the open content has begun
        self.unsaid = False  # the open content ended with a text that was never streamed
        self.repeats: Repeats | None = None

    def owns(self, frame: Frame) -> bool:
        """True if a frame is about this item."""
        if frame.output_index >= 0:
            return frame.output_index == self.index
        return bool(self.id) and frame.item_id == self.id


class MessageDecoder(Source):
    """Takes the frames of messages. Raises `ProtocolError` where their grammar is broken."""

    def __init__(self, sees: Kinds) -> None:
        super().__init__()
        self._sees = sees
        self._place = -1  # of the frame in hand among all frames
        self._part: Part | None = None  # the text whose deltas need no more looking at
        self._held = Gather()
        self._pending: list[Event] = []  # loose events whose frames are among those held
        self._kept = 0  # characters of texts and items, which framers keep too

    def _message(self, frame: Frame, raw: bytes, item: Opened) -> Items:
        type, part = frame.type, item.part
        if type == CONTENT_ADDED:
            return self._begin_content(frame, raw, item)
        if part is not None and frame.content_index not in (-1, part.start.content):
            raise ProtocolError(f"The provider sent {type} outside its content.")
        if kind := TEXT_DELTAS.get(type):
            return self._text(kind, frame, raw, item)
        if kind := TEXT_DONE.get(type):
            item.closing, item.unsaid = True, bool(frame.text or frame.refusal) and not item.spoke
        elif type == CONTENT_DONE:
            return self._content_done(raw, item)
        elif part is None or item.closing:
            return self._unknown(frame, raw)
        else:
            if type == ANNOTATION:
                key = (part.index, part.start.content)
                self.annotations[key] = self.annotations.get(key, 0) + 1
            return self._spoken(Opaque(type, part, False), raw, item)
        self._held.add(raw)
        return ()

    def _begin_content(self, frame: Frame, raw: bytes, item: Opened) -> Items:
        type, text = read_content(inside(raw, "part"))
        if text or (item.part is not None and frame.content_index <= item.part.start.content):
            raise ProtocolError("The provider began a content twice, or with text in it.")
        ended = self._end_content(item)
        start = Start(item.frame, frame.content_index, raw, item.id)
        item.part = Part(FORMAT, CONTENT.get(type, type or "unknown"), item.index, start)
        item.contents += 1
        item.spoke = item.closing = item.unsaid = False
        self._held.add(raw)
        return ended

    def _end_content(self, item: Opened) -> list[Event]:
        """The end of the content that is open, with what is held: another one follows."""
        if item.unsaid or (item.part is None and item.closing):
            raise ProtocolError("The provider never streamed the text of one of several contents.")
        if item.part is None:
            return []
        self._part = None
        return self._cell(PartEnd(item.part), self._place - 1)

    def _text(self, kind: str, frame: Frame, raw: bytes, item: Opened) -> Items:
        if item.part is None:  # some servers do not announce it
            item.part = Part(FORMAT, kind, item.index, Start(item.frame, frame.content_index, b"", item.id))
            item.contents += 1
        if item.part.kind != kind or item.closing or not isinstance(frame.delta, str):
            raise ProtocolError(f"The provider sent {frame.type} in a content of {item.part.kind}, or after its end.")
        if not frame.delta:
            self._held.add(raw)
            return ()
        self._keep(len(frame.delta))
        self._part = item.part if kind == "text" else None
        return self._spoken(Text(frame.delta, item.part, kind == "refusal"), raw, item)

    def _content_done(self, raw: bytes, item: Opened) -> Items:
        _, text = read_content(inside(raw, "part"))
        part, item.closing = item.part, True
        if part is not None and part.kind not in CONTENT.values():
            return self._spoken(Opaque(part.kind, part, False), raw, item)
        item.unsaid = item.unsaid or (bool(text) and not item.spoke)
        self._held.add(raw)
        return ()

    def _never_streamed(self, raw: bytes, done: bytes, item: Opened) -> Items:
        """All of an item in one event, since its end alone says what is in it."""
        start = Start(done, id=item.id, whole=True)
        if item.flow == "thinking":
            part = Part(FORMAT, "thinking", item.index, start)
            self.thoughts[item.index] = 1
            return [*self._given(Thinking(thoughts(done), part, True), raw), PartEnd(part)]
        said = words(done)
        if not any(text or type not in CONTENT for type, text in said):
            begun = item.part or Part(FORMAT, "text", item.index, Start(item.frame, id=item.id))
            return self._given(PartEnd(begun), raw)
        if len(said) > 1:
            raise ProtocolError("The provider never streamed the text of one of several contents.")
        type, text = said[0]
        part = Part(FORMAT, CONTENT.get(type, type), item.index, start)
        if type not in CONTENT:
            return self._given(Opaque(type, part), raw)
        return [*self._given(Text(text, part, type == "refusal"), raw), PartEnd(part)]

    def _unknown(self, frame: Frame, raw: bytes) -> Items:
        """An event that belongs to no item, or to nothing in it: it goes with the frames that are held."""
        event = Opaque(frame.type or "unknown", Part(FORMAT, LOOSE, -1, Start(raw)))
        if not self._held.frames:
            return [replace(event, src=raw, pos=self._place)]
        self._held.add(raw)
        if Opaque in self._sees:
            self._pending.append(event)
        return ()

    def _spoken(self, event: Event, raw: bytes, item: Opened) -> list[Event]:
        item.spoke = True
        return self._given(event, raw)

    def _given(self, event: Event, raw: bytes) -> list[Event]:
        """The event with the frame that made it whole, and those that waited for it."""
        if not self._held.frames:
            return [replace(event, src=raw, pos=self._place)]
        self._held.add(raw)
        return self._cell(event, self._place)

    def _cell(self, event: Event, last: int) -> list[Event]:
        events, self._pending = [*self._pending, event], []
        loose = tuple(one.part.start.item for one in events[:-1] if one.part is not None)
        cell = Run(self._held.take(), len(events), last, loose)
        return [replace(event, src=cell, pos=position) for position, event in enumerate(events)]

    def _keep(self, size: int) -> None:
        self._kept += size + 64
        if self._kept > GATHER_LIMIT:
            raise ProtocolError("The provider sent more than 64 MiB in one answer.")
