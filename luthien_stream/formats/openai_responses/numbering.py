"""The numbers that every event of a streamed response has: the provider's as long as nothing changed, then our own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from luthien_stream.events.answer import Event
from luthien_stream.formats.openai_responses.source import Run
from luthien_stream.formats.openai_responses.wire import frame_in, renamed, renumbered, wrap


class Numbering:
    """The frames written so far. Those that come in the provider's order, with none missing, keep its numbers."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        """What is written and not taken yet."""
        self.last = -1
        """The place, in the provider's stream, of the frame written last."""
        self.previous = b""
        """The frame written last that has a number."""
        self.own = False
        """True once a frame was left out, put in or moved: from there on the numbers are ours."""
        self.ids: dict[str, str] = {}
        """Ids of the provider's items to the ones that they leave with."""
        self._number = -1

    def follow(self, event: Event, frames: int) -> None:
        """The provider's frames of an event, so many, are to be written: see whether they are the next ones."""
        src = event.src
        last = src.last if isinstance(src, Run) else event.pos
        if last - frames != self.last:
            self.take_over()
        self.last = last

    def take_over(self) -> None:
        """Number all that follows."""
        if not self.own:
            self.own = True
            frame = frame_in(self.previous) if self.previous else None
            known = frame.sequence_number if frame is not None else None
            self._number = known if known is not None else self.last

    def put(self, raw: bytes, numbers: Mapping[str, int]) -> None:
        """Write a frame with other positions, if any."""
        if self.own:
            numbers = {**numbers, "sequence_number": self.next()}
        if self.ids:
            raw = renamed(raw, self.ids)
        if numbers:
            raw = renumbered(raw, numbers)
        self.frames.append(raw)
        if not raw.startswith(b":"):
            self.previous = raw

    def make(self, type: str, **fields: Any) -> None:
        """Write a frame of our own."""
        self.take_over()
        self.frames.append(wrap(type, sequence_number=self.next(), **fields))

    def next(self) -> int:
        """The next number of our own."""
        self._number += 1
        return self._number
