"""The open content of a streamed response, written frame by frame.

The text of an answer is repeated up to four times, and clients read the repeats. Each of them says what was released,
or is made to.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Raw

from luthien_stream.events.answer import Event, Opaque, Part, PartEnd, Text, Thinking
from luthien_stream.formats.framing import frames_of
from luthien_stream.formats.json import edit
from luthien_stream.formats.openai_responses.items import (
    content_saying,
    joined,
    made_content,
    made_message,
    message_saying,
)
from luthien_stream.formats.openai_responses.made import made_id, made_reasoning, own_id
from luthien_stream.formats.openai_responses.numbering import Numbering
from luthien_stream.formats.openai_responses.order import Order
from luthien_stream.formats.openai_responses.released import Released
from luthien_stream.formats.openai_responses.source import Source
from luthien_stream.formats.openai_responses.wire import (
    CONTENT_ADDED,
    CONTENT_DONE,
    ITEM_ADDED,
    ITEM_DONE,
    TEXT_DELTAS,
    TEXT_DONE,
    Frame,
    changed,
    frame_in,
    has,
    inside,
    with_id,
)

_DELTA_OF = {kind: type for type, kind in TEXT_DELTAS.items()}
_DONE_OF = {kind: type for type, kind in TEXT_DONE.items()}


class Contents(Order):
    """Writes contents and the messages and reasoning that they are in."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._out = Numbering()
        self._released = Released()
        self._verbatim: Part | None = None  # the open part whose pieces may leave as they came
        self._id = ""  # of the open item
        self._index = -1  # of the open item, as the client sees it
        self._numbers: dict[str, int] = {}  # the positions that differ from the provider's
        self._starts: tuple[bytes, ...] = ()  # the frames that begin what is open and are not written yet
        self._written: list[bytes] = []  # the contents of the open item
        self._rewritten = False  # one of them is not the provider's own
        self._content = b""  # the open content as the provider ended it, if it is no text
        self._begun = b""  # the frame that adds the open item, empty for one of our own

    def _frames(self, event: Event) -> tuple[bytes, ...]:
        """The provider's frames of an event, which are about to be written."""
        frames = frames_of(event)
        self._out.follow(event, len(frames))
        return frames

    def _begin(self, part: Part | None, kind: str, item: bool) -> None:
        if item:
            self._index, self._written, self._rewritten = self._released.begin(*self._order(part)), [], False
            self._begun = part.start.item if part is not None else b""
            self._id = part.start.id if part is not None else made_id(self._source.head, "msg", self._index)
            if part is not None and self._bereft:
                self._id = own_id(self._source.head, part.start.id, self._index)
                self._out.ids[part.start.id] = self._id
        content = len(self._written)
        self._numbers, self._starts, self._content = {}, (), b""
        if part is not None:
            if part.index != self._index:
                self._numbers["output_index"] = self._index
            if part.start.content != content and kind != "thinking":
                self._numbers["content_index"] = content
            self._starts = tuple(raw for raw in (part.start.item if item else b"", part.start.part) if raw)
            return
        if item:
            self._out.make(ITEM_ADDED, output_index=self._index, item=Raw(made_message(self._id, (), "in_progress")))
        self._make(CONTENT_ADDED, part=Raw(made_content(kind, "")))

    def _make(self, type: str, **fields: Any) -> None:
        """Write a frame of our own about the open content."""
        place = {"item_id": self._id, "output_index": self._index, "content_index": len(self._written)}
        self._out.make(type, **place, **fields)

    def _piece(self, event: Text | Thinking | Opaque) -> None:
        self._verbatim = None
        if event.part is None or event.part is not self._part:
            assert isinstance(event, Text)
            more: dict[str, Any] = {} if self._kind == "refusal" else {"logprobs": []}
            self._make(_DELTA_OF[self._kind], delta=event.text, **more)
            return
        *before, last = self._with_starts(self._frames(event), event.part)
        for raw in before:
            self._out.put(raw, self._numbers)
        if isinstance(event, Text) and event.edited:
            last = _saying(last, event.text)
        elif self._kind not in _DELTA_OF and (frame := frame_in(last)) is not None and frame.type == CONTENT_DONE:
            self._content = inside(last, "part")
        self._out.put(last, self._numbers)
        if not self._numbers and self._kind == "text":
            self._verbatim = self._part

    def _with_starts(self, frames: tuple[bytes, ...], part: Part) -> list[bytes]:
        """The frames, with those before them that begin what is open, without those that began it."""
        starts, self._starts = self._starts, ()
        mine = _holds(frames, part.start.item) or _holds(frames, part.start.part)
        missing = [raw for raw in starts if not _holds(frames, raw)]
        if missing:
            self._out.take_over()
        begun = [raw for raw in (part.start.item, part.start.part) if not _holds(starts, raw)] if mine else []
        return [*missing, *(raw for raw in frames if not _holds(begun, raw))]

    def _is_first(self, event: Event, part: Part) -> bool:
        frames = frames_of(event)
        return _holds(frames, part.start.item) or _holds(frames, part.start.part)

    def _stop(self, event: PartEnd | None, known: bool) -> bool:
        self._verbatim = None
        if self._kind == "thinking":
            return self._stop_thinking(event, known)
        frames = self._frames(event) if event is not None and event.src is not None else ()
        if event is not None and self._part is not None:
            frames = tuple(self._with_starts(frames, self._part))
            given = self._source.annotations.get((self._part.index, self._part.start.content), 0)
            self._touched = self._touched or (self._kind in _DELTA_OF and self._pieces != given)
        return self._stop_content(frames, made=event is None or event.src is None)

    def _stop_content(self, frames: tuple[bytes, ...], made: bool) -> bool:
        text, content = joined(self._said), self._content
        self._rewritten = self._rewritten or self._touched
        for raw in frames:
            frame = frame_in(raw)
            type = frame.type if frame is not None else ""
            if type == ITEM_DONE:
                self._written.append(content or made_content(self._kind, text))
                self._end_item(raw)
                return True
            if type in TEXT_DONE and frame is not None:
                raw = self._text_done(raw, frame, text)
            elif type == CONTENT_DONE and self._kind in _DELTA_OF:
                part = inside(raw, "part")
                content = content_saying(part, text, self._touched)
                raw = raw if content is part else changed(raw, {"part": Raw(content)})
            self._out.put(raw, self._numbers)
        if made and self._kind in _DELTA_OF:
            content = made_content(self._kind, text)
            more: dict[str, Any] = {"refusal": text} if self._kind == "refusal" else {"text": text, "logprobs": []}
            self._make(_DONE_OF[self._kind], **more)
            self._make(CONTENT_DONE, part=Raw(content))
        self._written.append(content or made_content(self._kind, text))
        return False

    def _text_done(self, raw: bytes, frame: Frame, text: str) -> bytes:
        field = TEXT_DONE[frame.type]
        if getattr(frame, field) == text and not self._touched:
            return raw
        return changed(raw, {field: text, **({"logprobs": []} if field == "text" else {})})

    def _end_item(self, raw: bytes) -> None:
        """Write the provider's end of the open item, with what was released of it."""
        item = inside(raw, "item")
        said = message_saying(item, self._written, self._rewritten)
        self._out.put(raw if said is item else changed(raw, {"item": Raw(said)}), self._numbers)
        said = with_id(said, self._out.ids)
        self._released.end(self._index, said, said is not item)

    def _stop_thinking(self, event: PartEnd | None, known: bool) -> bool:
        """End reasoning: as the provider did if that is known, else as cut short."""
        part = self._part
        assert part is not None
        whole = self._pieces == self._source.thoughts.get(part.index)
        frames = self._frames(event) if event is not None and event.src is not None else ()
        if not frames and known and whole:
            frames = self._source.closings.get(part.index, ())
            self._out.take_over()
        for raw in frames:
            self._out.put(raw, self._numbers)
        if frames:
            item = inside(frames[-1], "item")
            said = with_id(item, self._out.ids)
            self._released.end(self._index, said, said is not item)
        else:
            begun = with_id(inside(self._begun, "item"), self._out.ids)
            self._end_made(made_reasoning(begun, joined(self._said)))
        return True

    def _stop_item(self) -> None:
        item = made_message(self._id, self._written)
        if self._begun:
            item = edit(inside(self._begun, "item"), ("status",), "completed")
            item = with_id(message_saying(item, self._written, True), self._out.ids)
        self._end_made(item)

    def _end_made(self, item: bytes) -> None:
        self._out.make(ITEM_DONE, output_index=self._index, item=Raw(item))
        self._released.end(self._index, item, True)


def _holds(frames: Iterable[bytes], raw: bytes) -> bool:
    """True if this very frame is among them."""
    return any(raw is one for one in frames)


def _saying(raw: bytes, text: str) -> bytes:
    """A delta with another text, without what repeats the old one."""
    more: dict[str, Any] = {"logprobs": []} if has(raw, "logprobs") else {}
    return changed(raw, {"delta": text, **more})
