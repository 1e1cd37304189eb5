"""The original lanes for the stage that only watches: copied beside the calls, which never wait for it.

What it is behind with is bounded. Over that, a call's copy is given up, on record, and the call knows nothing of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from msgspec.structs import replace

from luthien_stream.bus import keys
from luthien_stream.bus.outbox import ROOM_BYTES, Outbox
from luthien_stream.bus.port import Bus
from luthien_stream.core.partition import PARTITIONS, partition_of
from luthien_stream.edge.asked import Asked
from luthien_stream.edge.line import Line, microseconds
from luthien_stream.edge.recent import Recent
from luthien_stream.edge.words import abort
from luthien_stream.events import log
from luthien_stream.events.log import AnyEvent, Hop, LogEvent, Slip
from luthien_stream.events.pack import encode_event
from luthien_stream.policy.pipeline import Pipeline

MOST_UNSEEN = 20_000
"""Events that the stage may be behind with, of all calls together."""
MOST_BYTES = 1 << 20
"""Bytes of one frame that are copied: a longer one ends the copy."""
MOST_COPIES = 5000
"""Calls that the stage may not have done with."""
BEHIND = "the stage `shadow` is too far behind"
_TERMINALS = (log.ResponseCompleted, log.ResponseFailed, log.ResponseAborted)


class Shadow:
    """See the module. One for each edge; `served` are the stages that live workers have, looked up at each call."""

    def __init__(self, bus: Bus, edge: str) -> None:
        self._bus, self._source = bus, f"shadow:{edge}"
        self._pipeline: Pipeline | None = None
        self._outboxes: dict[str, list[Outbox]] = {}
        self._has_watched = False
        self._tasks: list[asyncio.Task[None]] = []
        self._copies: dict[str, Copy] = {}
        self.recent = Recent()
        """What ended calls asked that the stage has not done with."""
        self.tell: Callable[[log.SampleRequested], None] = lambda event: None
        """Gets what the stage asks of models."""
        self.unseen = 0
        """Events sent that the stage has not taken."""
        self.most_unseen = MOST_UNSEEN

    @property
    def active(self) -> bool:
        """A stage watches, or has."""
        return self._has_watched

    @property
    def stages(self) -> set[str]:
        """The keys of the stages that are written to."""
        in_force = set() if self._pipeline is None else {self._pipeline.stage}
        return in_force | {copy.slip.hops[0].stage for copy in self._copies.values()}

    @property
    def outboxes(self) -> list[Outbox]:
        """The ways to its partitions."""
        return [outbox for each in self._outboxes.values() for outbox in each]

    def put_in_force(self, pipeline: Pipeline | None) -> None:
        """Let this pipeline watch the calls that begin from now on; None for none."""
        self._pipeline = pipeline
        if pipeline is None or pipeline.stage in self._outboxes:
            return
        names = [keys.partition(pipeline.stage, number) for number in range(PARTITIONS)]
        outboxes = [Outbox(self._bus, keys.partition_stream(name), self._source, on_lost=self._lost) for name in names]
        self._outboxes[pipeline.stage], self._has_watched = outboxes, True
        self._tasks += [asyncio.create_task(outbox.run(), name="shadow outbox") for outbox in outboxes]

    def begin(self, call: str, asked: Asked, notes: Line, served: Iterable[str]) -> Copy | None:
        """Begin to copy a call's original lane; None if no policy watches it. `notes` is for its record."""
        pipeline = self._pipeline
        phases = () if pipeline is None or asked.plain else pipeline.narrowed(asked.facts).phases
        if pipeline is None or not phases:
            return None
        stage, number = pipeline.stage, partition_of(call)
        slip = Slip(pipeline.version, (Hop(stage, number, phases),), f"stage:{stage}")
        copy = Copy(call, slip, self._outboxes[stage][number], notes, self)
        if len(self._copies) >= MOST_COPIES:
            copy.give_up(BEHIND)
            return None
        if stage not in served:
            copy.give_up("no worker serves the stage `shadow`: start one with `luthien-stream worker --stage shadow`")
            return None
        copy.asks_models = pipeline.asks_models
        self._copies[call] = copy
        return copy

    def ended(self, call: str, asked: Asked) -> None:
        """The edge is done with a call."""
        copy = self._copies.get(call)
        if copy is None:
            return
        copy.end()
        if copy.asks_models:
            self.recent.keep(call, asked)

    def hear(self, events: Iterable[tuple[str, AnyEvent]]) -> None:
        """Take what the stage said: how far it is, and that it is done with a call."""
        for _, event in events:
            copy = self._copies.get(event.call)
            if isinstance(event, log.SampleRequested):
                self.tell(event)
            if copy is None:
                continue
            if isinstance(event, log.ChunkSeen):
                copy.see(event.upto)
            elif isinstance(event, _TERMINALS):
                copy.over = True
                self.forget(copy)

    def forget(self, copy: Copy) -> None:
        """Nothing more will be heard of a copy."""
        if self._copies.pop(copy.call, None) is not None:
            self.unseen -= copy.sent - copy.seen

    async def close_unused(self, deadline_s: float) -> None:
        """Let go of earlier stages that have no copy left."""
        for key in self._outboxes.keys() - self.stages:
            await asyncio.gather(*(outbox.close(deadline_s) for outbox in self._outboxes.pop(key)))

    async def close(self, deadline_s: float) -> None:
        """Write what is queued, and end."""
        await asyncio.gather(*(outbox.close(deadline_s) for outbox in self.outboxes))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _lost(self, calls: set[str]) -> None:
        for call in calls & self._copies.keys():
            self._copies[call].give_up("the log did not take the copy")


class Copy:
    """One call's original lane on its way to the stage."""

    def __init__(self, call: str, slip: Slip, outbox: Outbox, notes: Line, shadow: Shadow) -> None:
        self.call, self.slip = call, slip
        self.sent = self.seen = 0
        """Events put, and those that the stage has taken."""
        self.over = False
        """Nothing more is copied."""
        self.asks_models = False
        """The stage may ask models about the call."""
        self._outbox, self._notes, self._shadow = outbox, notes, shadow
        self._ended = False
        self._whole = "response" in slip.hops[0].phases

    def put(self, event: LogEvent) -> None:
        """Take the next event of the lane, numbered and dated."""
        if isinstance(event, log.RequestReceived):
            self._send([encode_event(replace(event, slip=self.slip))])
        elif self._whole:
            self._ended = self._ended or isinstance(event, _TERMINALS)
            self._send([encode_event(event)])  # type: ignore[arg-type]

    def put_encoded(self, chunks: Sequence[bytes]) -> None:
        """Take what one read of the provider gave, as it is written."""
        if not self._whole or self.over:
            return
        if sum(map(len, chunks)) > MOST_BYTES:
            self.give_up("the answer is too large to be copied")
        else:
            self._send(chunks)

    def see(self, upto: int) -> None:
        """The stage has taken all events below this ordinal."""
        if self.seen < upto <= self.sent:
            self._shadow.unseen -= upto - self.seen
            self.seen = upto

    def end(self) -> None:
        """The call has ended: so does its lane, even if the provider never said a word."""
        if not self._ended:
            end = log.ResponseAborted(call=self.call, n=self.sent, lane="original", reason="no_answer")
            self._ended = True
            self._send([encode_event(end)])
        if not self._whole:
            self._shadow.forget(self)

    def give_up(self, why: str) -> None:
        """Copy no more of this call, and say so."""
        if self.over:
            return
        self.over = True
        self._notes.put(log.PolicyFailed(call=self.call, policy="shadow", error="NotWatched", message=why, went="open"))
        if self.sent:
            self._outbox.put(abort(self.call, "not_watched", -1))
        self._shadow.forget(self)

    def _send(self, events: Sequence[bytes]) -> None:
        if self.over:
            return
        if self._shadow.unseen > self._shadow.most_unseen or self._outbox.waiting > ROOM_BYTES:
            self.give_up(BEHIND)
            return
        for raw in events:
            self._outbox.put_encoded(self.call, raw)
        self.sent += len(events)
        self._shadow.unseen += len(events)


class CopiedLine(Line):
    """A call's line to its stage, or to the record, of which the stage beside gets a copy."""

    __slots__ = ("_copy",)

    def __init__(self, call: str, outbox: Outbox, copy: Copy) -> None:
        super().__init__(call, outbox)
        self._copy = copy

    def put(self, event: LogEvent, *, patient: bool = False) -> int:
        """Send an event both ways."""
        n = super().put(event, patient=patient)
        self._copy.put(event)
        return n

    def put_chunks(self, frames: Sequence[bytes], kind: Literal["frame", "rest", "body"]) -> int:
        """Send frames both ways, encoded once."""
        call, now = self.call, microseconds()
        chunks = [
            encode_event(log.ChunkReceived(call=call, n=n, time=now, frame=frame, kind=kind))
            for n, frame in enumerate(frames, self.n)
        ]
        self.n += len(chunks)
        for raw in chunks:
            self.outbox.put_encoded(call, raw)
        self._copy.put_encoded(chunks)
        return self.n - 1
