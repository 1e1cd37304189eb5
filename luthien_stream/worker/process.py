"""The worker process: connects, loads the pipeline, owns its share of the partitions, drains when told to stop."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from luthien_stream.bus import connect
from luthien_stream.bus.port import Bus
from luthien_stream.config.instance import Instance, config_of
from luthien_stream.config.model import Config
from luthien_stream.core.program import Program
from luthien_stream.errors import BusError, ConfigError
from luthien_stream.events.slip import SHADOW
from luthien_stream.formats import LENSES
from luthien_stream.policy.beside import ShadowProgram
from luthien_stream.policy.hop import HopProgram
from luthien_stream.policy.in_force import InForce
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.stages import Stage
from luthien_stream.worker.asking import Asking, ask_nobody
from luthien_stream.worker.clock import SystemClock
from luthien_stream.worker.lease import LeaseThread, renew_leases
from luthien_stream.worker.limits import Limits
from luthien_stream.worker.patience import sure
from luthien_stream.worker.performers import performers
from luthien_stream.worker.presence import Presence
from luthien_stream.worker.retire import Retire
from luthien_stream.worker.served import Served
from luthien_stream.worker.stall import Watch, Watchdog
from luthien_stream.worker.station import Station

log = structlog.get_logger()

FOLLOW_S = 1.0
"""How often a worker looks whether another pipeline is in force."""
KNOWN = 64
"""Stages that a worker knows of, in versions that calls may still pass."""
SHADOW_NICE = 10
"""By how much a worker that only watches stands back behind the processes that clients wait for."""


async def serve(
    config: Config,
    instance: Instance,
    *,
    data: Path,
    bus: Bus | None = None,
    ready: Callable[[], None] | None = None,
    stop: asyncio.Event,
    stage: str = "",
    again: asyncio.Event | None = None,
) -> None:
    """Run until `stop` is set, then give all partitions back. `bus` is given where all roles share one process.

    `stage` is the name of the only stage to serve; empty: all but `shadow`. `again` is set when the configuration's
    pipeline is to be read and published again. Raises `ConfigError` where the pipeline cannot be loaded.
    """
    if stage == SHADOW and bus is None:
        os.nice(SHADOW_NICE)
    mine = bus or connect(instance.redis)
    in_force = InForce.over(mine, config_of(instance))
    stages = await in_force.begin(config)
    recorded = config.database != "none"
    url, served = "" if bus is not None else instance.redis, stages.served_by(stage)
    worker = Worker(mine, served, url=url, recorded=recorded, known=stages.enforcing)
    following = asyncio.create_task(follow(worker, in_force, stage, again or asyncio.Event()), name="pipeline")
    try:
        await worker.run(ready or (lambda: None), stop)
    finally:
        following.cancel()
        if bus is None:
            await mine.close()


async def follow(worker: Worker, in_force: InForce, stage: str, again: asyncio.Event) -> None:
    """Keep a worker at the pipeline in force until cancelled."""
    while True:
        try:
            async with asyncio.timeout(FOLLOW_S):
                await again.wait()
        except TimeoutError:
            pass
        try:
            if again.is_set():
                again.clear()
                await in_force.read_again()
            stages = await in_force.look()
            if stages is not None:
                await worker.serve(stages.served_by(stage), stages.enforcing)
        except ConfigError as error:
            log.error("configuration_refused", error=str(error))
        except BusError as error:
            log.warning("log_does_not_answer", error=type(error).__name__)


class Worker:
    """One worker. `url` is where its helper threads connect; empty: it shares its process and has none.

    `recorded`: there is an activity consumer.
    """

    def __init__(
        self,
        bus: Bus,
        pipelines: Iterable[Pipeline],
        *,
        url: str,
        recorded: bool = True,
        limits: Limits | None = None,
        known: Iterable[Stage] = (),
    ) -> None:
        """`known` are all stages that calls pass, those of other workers too."""
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._bus = bus
        self._url = url
        self._recorded = recorded
        self._clock = SystemClock()
        self._limits = limits or Limits()
        self._watch = Watch()
        self._presence = Presence(bus, self._clock, every_s=self._limits.beat_s, edge_ttl_s=self._limits.edge_ttl_s)
        self._known: dict[str, Stage] = {}
        self._learn(known)
        self.served = Served(bus, self._station)
        self.served.put_in_force(pipelines)

    def _learn(self, stages: Iterable[Stage]) -> None:
        """Know these stages, and those before them for as long as calls may be on their way through them."""
        for stage in stages:
            self._known.pop(stage.stage, None)
            self._known[stage.stage] = stage
        for old in list(self._known)[:-KNOWN]:
            del self._known[old]

    def _program(self, pipeline: Pipeline) -> Program:
        if pipeline.name == SHADOW:
            return ShadowProgram(pipeline, LENSES)
        return HopProgram(pipeline, LENSES, self._known)

    def _station(self, pipeline: Pipeline) -> Station:
        asking = Asking(self._bus, self._clock, self._presence, pipeline.stage)
        perform = performers(self._bus, self._clock, pipeline.stage, asking)
        if pipeline.name == SHADOW:
            perform = {**perform, "ask": ask_nobody}
        return Station(
            bus=self._bus,
            worker=self.name,
            stage=pipeline.stage,
            make=lambda: self._program(pipeline),
            clock=self._clock,
            limits=self._limits,
            watch=self._watch,
            presence=self._presence,
            asking=asking,
            performers=perform,
            recorded=self._recorded,
        )

    async def run(self, ready: Callable[[], None], stop: asyncio.Event) -> None:
        """Work until `stop` is set, then drain."""
        await self._connected(stop)
        threads = self._threads()
        for thread in threads:
            thread.start()
        tasks = [asyncio.create_task(work) for work in self._work()]
        stopping = asyncio.create_task(stop.wait())
        log.info("worker_started", worker=self.name, stages=self.served.stages)
        ready()
        try:
            done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()
        finally:
            await self._end([stopping, *tasks])
            for thread in threads:
                thread.stop()
        log.info("worker_stopped", worker=self.name)

    async def _connected(self, stop: asyncio.Event) -> None:
        """Wait for the bus, say that this worker lives, and take the first partitions."""
        first = asyncio.create_task(sure(self._clock, self._beat_once))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([first, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in (first, stopping):
            task.cancel()
        await asyncio.gather(first, stopping, return_exceptions=True)
        if not stop.is_set():
            with suppress(BusError):
                await self.served.once()

    def _work(self) -> list[Coroutine[Any, Any, None]]:
        work: list[Coroutine[Any, Any, None]] = [self._beat(), self._balance(), self._presence.run()]
        work.append(Retire(self._bus, self.name, self._clock, self._limits).run())
        if not self._url:
            work.append(renew_leases(self._bus, self._watch.owners, self.name, self._limits.lease_s, self._clock))
        return work

    def _threads(self) -> list[LeaseThread | Watchdog]:
        if not self._url:
            return []
        leases = LeaseThread(lambda: connect(self._url), self._watch.owners, self.name, self._limits.lease_s)
        return [leases, Watchdog(self._watch, self._bus.last_words, self._limits.stall_s)]

    async def _end(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(self._limits.drain_s):
                with suppress(BusError):
                    await self._bus.unbeat("worker", self.name)
                await self.served.drain()
        except (BusError, TimeoutError) as error:
            log.warning("worker_not_drained", error=type(error).__name__)

    async def _balance(self) -> None:
        while True:
            try:
                await self.served.once()
            except BusError as error:
                log.warning("balance_failed", error=type(error).__name__)
            await self._clock.sleep(self._limits.balance_s)

    async def serve(self, pipelines: Iterable[Pipeline], known: Iterable[Stage] = ()) -> None:
        """Serve these from now on, and say so at once. Raises `BusError`."""
        self._learn(known)
        self.served.put_in_force(pipelines)
        await self._beat_once()
        await self.served.once()

    async def _beat(self) -> None:
        while True:
            try:
                await self._beat_once()
                await self.served.let_go()
            except BusError as error:
                log.warning("worker_beat_failed", error=type(error).__name__)
            await self._clock.sleep(self._limits.beat_s)

    async def _beat_once(self) -> None:
        facts = {"stages": ",".join(self.served.stages)}
        await self._bus.beat("worker", self.name, facts, ttl_ms=int(self._limits.beat_ttl_s * 1000))
