"""All ways out of one edge: a partition's stream each, and three sources on its own inbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from luthien_stream.bus import keys
from luthien_stream.bus.outbox import Outbox
from luthien_stream.bus.port import Bus
from luthien_stream.core.partition import PARTITIONS
from luthien_stream.edge.line import Line, Lines
from luthien_stream.events.slip import Slip


class Outboxes:
    """`to` a stage there is one outbox a partition, from `open` on until `close_stage`."""

    def __init__(self, bus: Bus, edge: str, on_lost: Callable[[set[str]], None]) -> None:
        source, inbox = f"edge:{edge}", keys.inbox(edge)
        self._bus, self._source, self._on_lost = bus, source, on_lost
        self.copies = Outbox(bus, inbox, source, on_lost=on_lost)
        """The original lanes that no policy sees."""
        self.notes = Outbox(bus, inbox, f"record:{edge}", on_lost=on_lost)
        """What the edge itself did."""
        self.own = Outbox(bus, inbox, f"provider:{edge}", on_lost=on_lost)
        """What providers of another format than the client's said themselves, for the record."""
        self._stages: dict[str, list[Outbox]] = {}
        self._tasks: dict[Outbox, asyncio.Task[None]] = {}
        self._started = False

    @property
    def all(self) -> list[Outbox]:
        """Every outbox."""
        return [*(outbox for each in self._stages.values() for outbox in each), self.copies, self.notes, self.own]

    @property
    def stages(self) -> set[str]:
        """The keys of the stages that can be written to."""
        return set(self._stages)

    def open(self, stage: str) -> None:
        """Make the partitions of a stage known here."""
        if stage in self._stages:
            return
        streams = [keys.partition_stream(keys.partition(stage, number)) for number in range(PARTITIONS)]
        self._stages[stage] = [Outbox(self._bus, stream, self._source, on_lost=self._on_lost) for stream in streams]
        if self._started:
            self._run(self._stages[stage])

    def to(self, stage: str, partition: int) -> Outbox:
        """The way to a partition."""
        return self._stages[stage][partition]

    def lines(self, call: str, slip: Slip) -> Lines:
        """The lines of a call that goes this way."""
        stage, *later = [self.to(hop.stage, hop.partition) for hop in slip.hops] or [self.copies]
        notes, own = Line(call, self.notes), Line(call, self.own)
        return Lines(Line(call, stage), Line(call, self.copies), notes, own, tuple(later))

    async def close_stage(self, stage: str, deadline_s: float) -> None:
        """Write what is queued for a stage that no call goes to any more, and forget it."""
        await self._close(self._stages.pop(stage), deadline_s)

    def start(self) -> None:
        """Run them."""
        self._started = True
        self._run(self.all)

    def _run(self, outboxes: list[Outbox]) -> None:
        for outbox in outboxes:
            self._tasks[outbox] = asyncio.create_task(outbox.run(), name="outbox")

    def resend(self) -> None:
        """The server was restarted: repeat what it may have forgotten."""
        for outbox in self.all:
            outbox.resend()

    async def close(self, deadline_s: float) -> None:
        """Write what is queued, and end."""
        await self._close(self.all, deadline_s)

    async def _close(self, outboxes: list[Outbox], deadline_s: float) -> None:
        await asyncio.gather(*(outbox.close(deadline_s) for outbox in outboxes))
        tasks = [task for outbox in outboxes if (task := self._tasks.pop(outbox, None)) is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
