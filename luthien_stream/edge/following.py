"""Keeps an edge at the pipeline in force: it switches once workers serve all stages of the new one."""

from __future__ import annotations

import asyncio
import time

import structlog

from luthien_stream.edge.edge import Edge
from luthien_stream.errors import BusError, ConfigError
from luthien_stream.policy.in_force import InForce
from luthien_stream.policy.stages import Stages

log = structlog.get_logger()

PERIOD_S = 1.0
PATIENCE_S = 10.0
"""How long an edge waits for workers of a new pipeline before it switches without them."""


class Following:
    """See the module. `again` is set when the configuration file is to be read again."""

    def __init__(self, edge: Edge, in_force: InForce, again: asyncio.Event) -> None:
        self.in_force = in_force
        self.pending: Stages | None = None
        """What waits for its workers."""
        self._edge, self._again = edge, again
        self._since = 0.0
        self.wake = asyncio.Event()
        """Look at once."""

    async def run(self) -> None:
        """Follow until cancelled."""
        reading = asyncio.create_task(self._read_again(), name="configuration")
        try:
            while True:
                try:
                    async with asyncio.timeout(PERIOD_S):
                        await self.wake.wait()
                except TimeoutError:
                    pass
                self.wake.clear()
                await self.once()
        finally:
            reading.cancel()

    async def once(self) -> None:
        """Look once, and switch if it is time."""
        try:
            stages = await self.in_force.look()
            if stages is not None:
                self.pending, self._since = stages, time.monotonic()
            if self.pending is not None:
                await self._edge.admission.look(for_workers=True)
        except BusError as error:
            log.warning("log_does_not_answer", error=type(error).__name__)
        await self._switch()
        await self._edge.close_unused()

    async def _switch(self) -> None:
        pending = self.pending
        if pending is None:
            return
        missing = set(pending.keys) - self._edge.admission.workers
        if missing and time.monotonic() - self._since < PATIENCE_S:
            return
        if missing:
            log.warning("pipeline_without_workers", stages=sorted(missing))
        self.pending = None
        self._edge.put_in_force(pending, self.in_force.version.pipeline)
        log.info("pipeline_in_force", version=pending.version, stages=pending.keys)

    async def _read_again(self) -> None:
        while True:
            await self._again.wait()
            self._again.clear()
            try:
                await self.in_force.read_again()
            except (BusError, ConfigError) as error:
                log.error("configuration_refused", error=str(error))
            self.wake.set()
