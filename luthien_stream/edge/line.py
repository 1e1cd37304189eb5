"""A call's numbered line to one stream: what it puts carries ordinals without holes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from luthien_stream.bus.outbox import Outbox
from luthien_stream.events.log import ChunkReceived, LogEvent
from luthien_stream.events.pack import encode_event


def microseconds() -> int:
    """The wall clock, microseconds since 1970."""
    return time.time_ns() // 1000


class Line:
    """Events of one call from one source."""

    __slots__ = ("call", "n", "outbox")

    def __init__(self, call: str, outbox: Outbox) -> None:
        self.call = call
        self.outbox = outbox
        self.n = 0
        """The next ordinal."""

    def put(self, event: LogEvent, *, patient: bool = False) -> int:
        """Number an event, give it its time, and send it (`patient`: see `Outbox.put`). Returns its ordinal."""
        n = event.n = self.n
        event.time = microseconds()
        self.n = n + 1
        self.outbox.put(event, patient=patient)  # type: ignore[arg-type]
        return n

    def put_chunks(self, frames: Sequence[bytes], kind: Literal["frame", "rest", "body"]) -> int:
        """Send what one read of the provider gave. Returns the last ordinal."""
        call, n, put, now = self.call, self.n, self.outbox.put_encoded, microseconds()
        for frame in frames:
            put(call, encode_event(ChunkReceived(call=call, n=n, time=now, frame=frame, kind=kind)))
            n += 1
        self.n = n
        return n - 1


class Lines(Struct, frozen=True):
    """Where a call's events go: `stage` to its partition, `copies`, `notes` and `own` to the edge's own inbox.

    `later` leads to the stages behind the first.
    """

    stage: Line
    copies: Line
    notes: Line
    own: Line
    later: tuple[Outbox, ...] = ()
