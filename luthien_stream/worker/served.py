"""The stages that one worker serves: those in force, and those before them until their last call has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import structlog

from luthien_stream.bus import keys
from luthien_stream.bus.port import Bus
from luthien_stream.core.partition import PARTITIONS
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.worker.balance import Balance
from luthien_stream.worker.station import Station

log = structlog.get_logger()


class Served:
    """See the module."""

    def __init__(self, bus: Bus, station: Callable[[Pipeline], Station]) -> None:
        self._bus, self._station = bus, station
        self._balances: dict[str, Balance] = {}
        self._in_force: frozenset[str] = frozenset()

    @property
    def stages(self) -> list[str]:
        """The keys of all of them."""
        return list(self._balances)

    def put_in_force(self, pipelines: Iterable[Pipeline]) -> None:
        """Serve these; what was served before stays while calls are on their way through it."""
        wanted = {pipeline.stage: pipeline for pipeline in pipelines}
        self._in_force = frozenset(wanted)
        for key, pipeline in wanted.items():
            if key not in self._balances:
                self._balances[key] = Balance(self._station(pipeline))

    async def once(self) -> None:
        """Take free partitions, give back where there are too many."""
        for balance in list(self._balances.values()):
            await balance.once()

    async def let_go(self) -> None:
        """Leave the stages of earlier versions that no edge writes to and that have no open call."""
        old = [key for key in self._balances if key not in self._in_force]
        if not old:
            return
        edges = await self._bus.alive("edge")
        written = {key for facts in edges.values() for key in facts.get("stages", "").split(",")}
        for key in old:
            if key not in written and not await self._has_calls(key):
                balance = self._balances.pop(key)
                await balance.drain()
                log.info("stage_left", stage=key)

    async def _has_calls(self, stage: str) -> bool:
        for number in range(PARTITIONS):
            if await self._bus.open_calls(keys.partition(stage, number)):
                return True
        return False

    async def drain(self) -> None:
        """Give everything back in good order."""
        await asyncio.gather(*(balance.drain() for balance in self._balances.values()))
