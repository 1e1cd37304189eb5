"""All ways out of one edge: a partition's stream each, and three sources on its own inbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from luthien_stream.bus import keys
from luthien_stream.bus.outbox import Outbox
from luthien_stream.bus.port import Bus
from luthien_stream.core.partition import PARTITIONS


class Outboxes:
    """`stage` has one outbox a partition, empty without a pipeline."""

    def __init__(self, bus: Bus, edge: str, stage: str, on_lost: Callable[[set[str]], None]) -> None:
        """`stage` is the pipeline's stage key, empty for none."""
        source, inbox = f"edge:{edge}", keys.inbox(edge)
        self.copies = Outbox(bus, inbox, source, on_lost=on_lost)
        """The original lanes that no policy sees."""
        self.notes = Outbox(bus, inbox, f"record:{edge}", on_lost=on_lost)
        """What the edge itself did."""
        self.own = Outbox(bus, inbox, f"provider:{edge}", on_lost=on_lost)
        """What providers of another format than the client's said themselves, for the record."""
        names = [keys.partition(stage, number) for number in range(PARTITIONS)] if stage else []
        self.stage = [Outbox(bus, keys.partition_stream(name), source, on_lost=on_lost) for name in names]
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def all(self) -> list[Outbox]:
        """Every outbox."""
        return [*self.stage, self.copies, self.notes, self.own]

    def start(self) -> None:
        """Run them."""
        self._tasks = [asyncio.create_task(outbox.run(), name="outbox") for outbox in self.all]

    def resend(self) -> None:
        """The server was restarted: repeat what it may have forgotten."""
        for outbox in self.all:
            outbox.resend()

    async def close(self, deadline_s: float) -> None:
        """Write what is queued, and end."""
        await asyncio.gather(*(outbox.close(deadline_s) for outbox in self.all))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
