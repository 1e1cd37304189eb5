"""Which partitions a worker owns: its fair share, taken where they are free, given back where it has too many."""

from __future__ import annotations

import asyncio

import structlog

from luthien_stream.bus import keys
from luthien_stream.core.partition import PARTITIONS, partition_of
from luthien_stream.errors import BusError
from luthien_stream.worker.owner import Owner
from luthien_stream.worker.station import Station

log = structlog.get_logger()


def share(partitions: int, workers: int) -> int:
    """How many partitions a worker may own: `ceil(partitions / workers)`."""
    return -(-partitions // max(1, workers))


class Balance:
    """The partitions of one worker."""

    def __init__(self, station: Station, partitions: int = PARTITIONS) -> None:
        self._station = station
        self._partitions = partitions
        self._owned: dict[int, tuple[Owner, asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Acquire and give back until cancelled."""
        while True:
            try:
                await self.once()
            except BusError as error:
                log.warning("balance_failed", error=type(error).__name__)
            await self._station.clock.sleep(self._station.limits.balance_s)

    async def once(self) -> None:
        """Look once at who lives and what is free."""
        self._forget_ended()
        station = self._station
        alive = await station.bus.alive("worker")
        stages = [facts.get("stages", "").split(",") for name, facts in alive.items() if name != station.worker]
        mine = share(self._partitions, 1 + sum(station.stage in each for each in stages))
        for owner, _ in list(self._owned.values())[mine:]:
            owner.leave()
        for number in self._preferred():
            if len(self._owned) >= mine:
                break
            await self._acquire(number)

    def _preferred(self) -> list[int]:
        """Free partitions to try, each worker from another one on, so that they seldom meet."""
        start = partition_of(self._station.worker, self._partitions)
        numbers = [(start + i) % self._partitions for i in range(self._partitions)]
        return [number for number in numbers if number not in self._owned]

    async def _acquire(self, number: int) -> None:
        station = self._station
        partition = keys.partition(station.stage, number)
        acquired = await station.bus.acquire(partition, station.worker, lease_ms=int(station.limits.lease_s * 1000))
        if acquired is None:
            return
        await station.bus.register_stream(keys.partition_stream(partition), recorded=station.recorded)
        owner = Owner(station, number, acquired)
        self._owned[number] = owner, asyncio.create_task(owner.run(), name=f"owner {partition}")

    def _forget_ended(self) -> None:
        for number, (owner, task) in list(self._owned.items()):
            if not task.done():
                self._check_lease(owner)
                continue
            del self._owned[number]
            error = None if task.cancelled() else task.exception()
            if error is not None:
                log.error("owner_failed", partition=owner.key, exc_info=error)

    def _check_lease(self, owner: Owner) -> None:
        """Take notice of what the renewal found out."""
        if self._station.watch.owners.get(owner.key) != owner.token:
            owner.lost = True

    async def drain(self) -> None:
        """Give everything back in good order: finish turns, settle, release."""
        for owner, _ in self._owned.values():
            owner.leave()
        tasks = [task for _, task in self._owned.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=0.75 * self._station.limits.drain_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._forget_ended()
