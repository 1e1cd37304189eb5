"""Clearing up after stages that no worker has any more: their open calls end closed, their partitions go.

A pipeline's version is part of its stage's key, so every change of a policy leaves a stage behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from luthien_stream.bus import keys
from luthien_stream.bus.port import Bus
from luthien_stream.core.program import Program, Want
from luthien_stream.core.stagecall import Doom
from luthien_stream.errors import BusError
from luthien_stream.events.log import AnyEvent
from luthien_stream.worker.clock import Clock
from luthien_stream.worker.limits import Limits
from luthien_stream.worker.partition import Partition
from luthien_stream.worker.stall import Watch

log = structlog.get_logger()
GONE = Doom("stage_gone", "No worker has the policies of this call any more; send the request again", gently=False)


class Nothing(Program):
    """The program of a call whose policies are gone."""

    over = False

    def feed(self, event: AnyEvent, source: str = "") -> None:
        """Take nothing."""

    def decide(self, key: str, value: object, of: str = "", time: int = 0) -> None:
        """Take nothing."""

    def advance(self) -> Sequence[AnyEvent]:
        """Give nothing."""
        return ()

    def wants(self) -> Sequence[Want]:
        """Want nothing."""
        return ()

    def cut(self, reason: str, message: str) -> Sequence[AnyEvent]:
        """Give nothing; the caller ends the call."""
        return ()


class Retire:
    """Looks for stages without workers. `worker` is this process."""

    def __init__(self, bus: Bus, worker: str, clock: Clock, limits: Limits) -> None:
        self._bus = bus
        self._worker = worker
        self._clock = clock
        self._limits = limits
        self._missing: dict[str, int] = {}
        """Partition to when its stage was first found without a worker."""

    async def run(self) -> None:
        """Look from time to time until cancelled."""
        while True:
            await self._clock.sleep(self._limits.retire_every_s)
            try:
                await self.once()
            except BusError as error:
                log.warning("retire_failed", error=type(error).__name__)

    async def once(self) -> None:
        """Look once."""
        alive = await self._bus.alive("worker")
        stages = {stage for facts in alive.values() for stage in facts.get("stages", "").split(",")}
        now = self._clock.now_us()
        missing = [p for p in map(partition_of_stream, await self._bus.streams()) if p and stage_of(p) not in stages]
        self._missing = {partition: self._missing.get(partition, now) for partition in missing}
        for partition, since in self._missing.items():
            if now - since >= self._limits.retire_after_s * 1e6:
                await self._retire(partition)

    async def _retire(self, partition: str) -> None:
        if await self._bus.open_calls(partition):
            await self._close_calls(partition)
        if await self._bus.drop_partition(partition):
            log.info("partition_dropped", partition=partition)

    async def _close_calls(self, key: str) -> None:
        acquired = await self._bus.acquire(key, self._worker, lease_ms=int(self._limits.lease_s * 1000))
        if acquired is None:
            return
        stage, _, number = key.rpartition(":")
        make: Callable[[], Nothing] = Nothing
        partition = Partition(stage, int(number), make, now=self._clock.now_us, watch=Watch(), seen_every=1)
        partition.resume(acquired.open, acquired.closed)
        for call in partition.calls.values():
            partition.doom(call, GONE)
        partition.finish_rebuild()
        settlement = partition.turn().settlement(partition.src, acquired.owner, 1, acquired.tail)
        await self._bus.settle(key, settlement)
        await self._bus.release(key, acquired.owner)
        log.warning("calls_of_gone_stage_ended", partition=key, calls=len(settlement.closed))


def partition_of_stream(stream: str) -> str:
    """Return the partition whose input stream this is, empty if it is another kind of stream."""
    partition = stream.removeprefix("ls:{").removesuffix("}:in")
    return partition if keys.partition_stream(partition) == stream else ""


def stage_of(partition: str) -> str:
    """Return the stage of a partition."""
    return partition.rpartition(":")[0]
