"""Events back to OpenAI's stream of a response. What leaves as it came is the provider's own bytes.

Items that pass frame by frame may be open beside the message or reasoning that is; everything else comes one by one.
"""

from __future__ import annotations

from msgspec import Raw

from luthien_stream.events.answer import Cell, End, Event, Opaque, StopReason, Text, ToolCall
from luthien_stream.formats.errors import FrameError
from luthien_stream.formats.framing import is_ours
from luthien_stream.formats.openai_responses.content import Contents
from luthien_stream.formats.openai_responses.ending import with_output, with_reason
from luthien_stream.formats.openai_responses.items import item_of, read_item
from luthien_stream.formats.openai_responses.made import call_frames, made_id, made_response, own_id
from luthien_stream.formats.openai_responses.source import LOOSE, Run, Source
from luthien_stream.formats.openai_responses.wire import (
    FORMAT,
    ITEM_ADDED,
    ITEM_DONE,
    LIFE,
    RAW_INCOMPLETE,
    Frame,
    changed,
    error_frame,
    frame_in,
    inside,
    retyped,
    with_id,
)

_EARLY_LIMIT = 256
_PREFIXES = {
    "function": "fc",
    "custom": "ctc",
    "shell": "sh",
    "local_shell": "lsh",
    "apply_patch": "apc",
    "computer": "cu",
    "tool_search": "tsc",
    "mcp_approval": "mcpr",
}


class StreamFramer(Contents):
    """Writes frames. `take` gives the very same `bytes` objects for frames that are verbatim."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._flow: tuple[int, int] = (-1, -1)  # of the item that passes: the provider's position, and the client's
        self._started = False
        self._before: list[Event] = []  # what policies wrote before the response began
        self._mates: list[Event] = []  # events of a cell that is not complete yet
        self._broken: Cell | None = None  # the cell whose events leave one by one

    def write(self, event: Event) -> None:
        """Write what a policy chain put out."""
        if (
            event.part is self._verbatim
            and event.__class__ is Text
            and event.src.__class__ is bytes
            and not event.edited
            and event.pos == self._out.last + 1
            and not self._out.own
        ):
            out = self._out
            out.last, out.previous = event.pos, event.src
            out.frames.append(event.src)
            self._said.append(event.text)
        elif not self._started and not _goes_first(event):
            self._keep(event)
        elif not self._joins(event):
            super().write(event)

    def mute(self, raw: bytes) -> None:
        """Write a frame that no policy sees; items that flow by are given their place."""
        if self._early:
            return
        self._out.last += 1
        frame = frame_in(raw)
        if frame is None:
            self._out.put(raw, {})
            return
        if frame.type == ITEM_ADDED:
            self._begin_flow(frame, raw)
        flows = self._flows and frame.output_index == self._flow[0]
        self._out.put(raw, {"output_index": self._flow[1]} if flows and self._flow[0] != self._flow[1] else {})
        if flows and frame.type == ITEM_DONE:
            self._released.end(self._flow[1], with_id(inside(raw, "item"), self._out.ids), bool(self._out.ids))
            self._flows = False
            self._release()
        if frame.type in LIFE and not self._started:
            self._started = True
            before, self._before = self._before, []
            for event in before:
                self.write(event)

    def flush(self) -> None:
        """The chain waits: what is complete of a cell leaves event by event."""
        mates, self._mates = self._mates, []
        for event in mates:
            self._broken = event.src if isinstance(event.src, Cell) else None
            super().write(event)

    def finish(self) -> None:
        """Nothing more will be written: end the answer, unless the provider's own broke off."""
        self.flush()
        super().finish()

    def take(self) -> list[bytes]:
        """The frames written since the last call."""
        frames, self._out.frames = self._out.frames, []
        return frames

    def _keep(self, event: Event) -> None:
        if len(self._before) >= _EARLY_LIMIT:
            raise FrameError("Policies wrote more than 256 pieces before the model's response began.")
        self._before.append(event)

    def _joins(self, event: Event) -> bool:
        """Keep an untouched event until its mates have come: then their cell leaves whole. False if it is alone."""
        src = event.src
        shared = isinstance(src, Cell) and src.events > 1 and is_ours(event, FORMAT)
        if shared and not event.edited and src is not self._broken and not self._ended:
            if self._mates and self._mates[0].src is not src:
                self.flush()
            if not any(mate is event for mate in self._mates):
                self._mates.append(event)
                if isinstance(src, Cell) and len(self._mates) == src.events:
                    mates, self._mates = self._mates, []
                    super().write(next(mate for mate in mates if mate.part is None or mate.part.kind != LOOSE))
                return True
        self.flush()
        if isinstance(src, Cell) and shared:
            self._broken = src
        return False

    def _frames(self, event: Event) -> tuple[bytes, ...]:
        frames, cell = super()._frames(event), event.src
        if cell is not self._broken or not isinstance(cell, Run):
            return frames
        self._out.take_over()
        return tuple(raw for raw in frames if not any(raw is one for one in cell.loose))

    def _begin_flow(self, frame: Frame, raw: bytes) -> None:
        if self._kind:
            self._shut_content(None, True)
        self._shut(None)
        given = frame.output_index
        self._flows, self._flow = True, (given, self._released.begin(given, self._source.orders.get(given, -1)))
        self._judge(given)
        self._gone.add(given)
        self._trailing = False
        if self._bereft:
            id = str(read_item(inside(raw, "item")).id)
            self._out.ids[id] = own_id(self._source.head, id, self._flow[1])

    def _whole(self, event: Event) -> None:
        self._verbatim = None
        part, position = event.part, self._released.begin(*self._order(event.part))
        if part is not None and self._bereft:
            self._out.ids[part.start.id] = own_id(self._source.head, part.start.id, position)
        if part is not None and event.src is not None and not event.edited:
            numbers = {"output_index": position} if part.index != position else {}
            for raw in self._frames(event):
                self._out.put(raw, numbers)
            self._released.end(position, with_id(part.start.item, self._out.ids), part.start.id in self._out.ids)
        elif isinstance(event, ToolCall):
            made = made_id(self._source.head, _PREFIXES.get(event.kind, "fc"), position) if part is None else ""
            item = with_id(item_of(event, made), self._out.ids)
            for type, more in call_frames(item, position):
                self._out.make(type, **more)
            self._released.end(position, item, True)

    def _loose(self, event: Opaque) -> None:
        part = event.part
        if event.src is self._broken and part is not None:
            self._out.take_over()
            self._out.put(part.start.item, {})
            return
        for raw in self._frames(event):
            self._out.put(raw, {})

    def _finish(self, event: End) -> None:
        self._verbatim = None
        if event.reason == "cut":
            return
        ending = self._source.ending
        if event.reason == "error":
            self._fail(event)
        elif not ending or self._source.switched:
            response = made_response(self._source.head, self._released.items, event.reason, self._source.usage)
            self._out.make(_type(event.reason), response=Raw(response))
        else:
            self._out.follow(event, 1)
            self._out.put(self._ending(ending, event.reason), {})

    def _ending(self, raw: bytes, reason: StopReason) -> bytes:
        """The provider's own end, with what was released for its output, and this reason."""
        response = inside(raw, "response")
        said = with_output(response, self._released.items, self._released.changed, bool(self._source.orders))
        if RAW_INCOMPLETE.get(reason) != RAW_INCOMPLETE.get(self._source.over or ""):
            return retyped(raw, _type(reason), with_reason(said, reason))
        return raw if said is response else changed(raw, {"response": Raw(said)})

    def _fail(self, event: End) -> None:
        raw = event.src
        if not isinstance(raw, bytes):
            self._out.take_over()
            message = event.error or "A policy ended the answer."
            self._out.frames.append(error_frame(500, message, number=self._out.next()))
            return
        self._out.follow(event, 1)
        frame = frame_in(raw)
        if frame is not None and frame.type == "response.failed":
            response = inside(raw, "response")
            said = with_output(response, self._released.items, self._released.changed, bool(self._source.orders))
            raw = raw if said is response else changed(raw, {"response": Raw(said)})
        self._out.put(raw, {})


def _type(reason: StopReason) -> str:
    return "response.incomplete" if reason in RAW_INCOMPLETE else "response.completed"


def _goes_first(event: Event) -> bool:
    """True for what may stand before the beginning of the response."""
    if isinstance(event, End):
        return event.reason in ("cut", "error")
    return isinstance(event, Opaque) and event.part is not None and event.part.kind == LOOSE
