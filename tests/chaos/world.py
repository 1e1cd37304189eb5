"""The simulated world: two stages of two workers each, two edges, a console, a server, faults, and what must hold.

Workers are the real ones (owner, balance, leases, presence) over the real memory bus; edges and console are played.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from luthien_stream.bus.memory import Snapshot
from luthien_stream.core.program import Want
from luthien_stream.events.log import ChunkReleased, ResponseAborted, ResponseCompleted, ResponseFailed
from luthien_stream.worker.asking import Asking
from luthien_stream.worker.balance import Balance
from luthien_stream.worker.effects import failure
from luthien_stream.worker.lease import renew_leases
from luthien_stream.worker.limits import Limits
from luthien_stream.worker.presence import Presence
from luthien_stream.worker.stall import Watch
from luthien_stream.worker.station import Station
from tests.chaos.faulty import Broken, Faults, FaultyBus, NotingBus
from tests.chaos.players import Edge, console
from tests.chaos.programs import STAGES, StageProgram, clean_run
from tests.chaos.scheduler import PROCESS, TICK_S, SimLoop

EPOCH_US = 1_800_000_000_000_000
FAULTS_END_S, LIMIT_S = 2.0, 60.0
LIMITS = Limits(
    seen_every=8,
    lease_s=0.25,
    beat_s=0.1,
    beat_ttl_s=0.4,
    balance_s=0.02,
    block_s=0.05,
    kept_s=0.4,
    sweep_s=0.02,
    spill_every_s=0.03,
    spill_age_s=0.08,
    log_kept_s=0.05,
    edge_ttl_s=0.9,
    no_input_s=20.0,
    page_entries=3,
    careful_after=10**9,
)
TERMINAL = (ResponseCompleted, ResponseFailed, ResponseAborted)


class SimClock:
    """The worker's clock in virtual time."""

    def __init__(self, loop: SimLoop) -> None:
        self._loop = loop

    def now_us(self) -> int:
        """Virtual microseconds since 1970."""
        return EPOCH_US + int(self._loop.now * 1e6)

    async def sleep(self, seconds: float) -> None:
        """Sleep in virtual time."""
        await asyncio.sleep(seconds)


class World:
    """One run under one seed."""

    def __init__(self, seed: int, faults: Faults, *, may_abort: bool = False) -> None:
        self.rng = random.Random(seed)
        self.faults, self.may_abort = faults, may_abort
        self.loop = SimLoop(self.rng)
        self.loop.on_step = self._step
        self.clock = SimClock(self.loop)
        self.server = NotingBus(self.clock.now_us, forgetful=faults.restart > 0)
        self.late: list[tuple[int, Callable[[], Coroutine[Any, Any, Any]]]] = []
        self.stats: Counter[str] = Counter()
        self.edges = {name: Edge(self, name) for name in ("a", "b")}
        self._saved: Snapshot = self.server.snapshot()
        self._saved_at = 0.0
        self._life: Counter[str] = Counter()
        self._restarting: list[tuple[float, str]] = []

    @property
    def faulty(self) -> bool:
        """Whether faults still happen."""
        return self.loop.now < FAULTS_END_S

    # processes
    async def _worker(self, name: str, process: str) -> None:
        stage = STAGES[int(name[1]) - 1]
        bus: Any = FaultyBus(self)
        watch = Watch()
        presence = Presence(bus, self.clock, every_s=LIMITS.beat_s, edge_ttl_s=LIMITS.edge_ttl_s)
        station = Station(
            bus=bus,
            worker=process,
            stage=stage,
            make=lambda: StageProgram(stage),
            clock=self.clock,
            limits=LIMITS,
            watch=watch,
            presence=presence,
            asking=Asking(bus, self.clock, presence, stage),
            performers={"judge": self._judge, "ask": self._wait},
        )
        renewing = renew_leases(bus, watch.owners, process, LIMITS.lease_s, self.clock)
        await asyncio.gather(Balance(station, partitions=1).run(), renewing, presence.run())

    async def _wait(self, call: str, want: Want) -> dict[str, str]:
        await self.clock.sleep(want.timeout_s or 0.0)
        return failure("timeout", "Nobody answered")

    async def _judge(self, call: str, want: Want) -> int:
        await asyncio.sleep(self.rng.uniform(0, 0.1))
        return self.rng.randint(1, 10**6)

    def _start(self, name: str) -> None:
        self._life[name] += 1
        process = f"{name}#{self._life[name]}"
        self.loop.spawn(process, self._worker(name, process))

    # faults
    def _step(self, process: str) -> None:
        rng, loop = self.rng, self.loop
        if loop.now - self._saved_at > self.faults.saved_every and self.faults.restart:
            self._saved, self._saved_at = self.server.snapshot(), loop.now
        if self.late and rng.random() < 0.03:
            self._execute_late(*self.late.pop(rng.randrange(len(self.late))))
        for when, name in [each for each in self._restarting if each[0] <= loop.now]:
            self._restarting.remove((when, name))
            self._start(name)
        if not self.faulty:
            return
        if rng.random() < self.faults.restart and loop.now > 0.1:
            self._restart_server()
        if process.startswith("w"):
            self._harm_worker(process, rng.random())
        elif process.startswith("edge"):
            self._harm_edge(process, rng.random())

    def _execute_late(self, incarnation: int, command: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        if incarnation != self.server.incarnation:
            return
        try:
            command().send(None)
        except StopIteration:
            self.stats["late"] += 1

    def _restart_server(self) -> None:
        self.stats["restart"] += 1
        self.server.incarnation += 1
        self.server.restart(forget_to=self._saved)

    def _harm_worker(self, process: str, chance: float) -> None:
        if chance < self.faults.kill:
            self.stats["kill"] += 1
            self.loop.killed.add(process)
            self._restarting.append((self.loop.now + self.rng.uniform(5, 400) * TICK_S, process.partition("#")[0]))
        elif chance < self.faults.kill + self.faults.pause:
            self.stats["pause"] += 1
            self.loop.paused[process] = self.loop.now + self.rng.uniform(20 * TICK_S, 4 * LIMITS.lease_s)

    def _harm_edge(self, process: str, chance: float) -> None:
        if chance < self.faults.edge_kill:
            self.stats["edge kill"] += 1
            self.loop.killed.add(process)
            self.edges[process[-1]].dead = True
        elif chance < self.faults.edge_kill + self.faults.edge_pause:
            self.loop.paused[process] = self.loop.now + self.rng.uniform(0.05, 1.5)

    # the run
    def go(self) -> None:
        """Run to the end of all calls. Raises `Broken`."""
        for name in ("w1x", "w1y", "w2x", "w2y"):
            self._start(name)
        for name, edge in self.edges.items():
            self.loop.spawn(f"edge-{name}", edge.run(FaultyBus(self)))
        self.loop.spawn("console", console(self))
        try:
            self.loop.run_until_complete(self._watch())
        finally:
            self.loop.end()
        self._check(final=True)

    async def _watch(self) -> None:
        PROCESS.set("observer")
        while self.loop.now < LIMIT_S:
            await asyncio.sleep(0.05)
            self._check()
            if not self.faulty and all(edge.done for edge in self.edges.values()) and not self._left_open():
                return

    def _left_open(self) -> list[str]:
        return [call for found in self.server.data.partitions.values() for call in (*found.open, *found.spills)]

    # what must hold
    def _check(self, final: bool = False) -> None:
        for edge in self.edges.values():
            for call in edge.calls.values():
                self._check_lane(call.id, call.lane, clean_run(call.holds, call.letters))
                if final and not edge.dead and not (call.lane and isinstance(call.lane[-1], TERMINAL)):
                    raise Broken(f"{call.id} never ended: {len(call.lane)} events")
        if final and self._left_open():
            raise Broken(f"left open: {self._left_open()}")

    def _check_lane(self, call: str, lane: list[Any], wanted: list[tuple[str, bytes]]) -> None:
        symbols: dict[str, str] = {}
        for i, event in enumerate(lane):
            if isinstance(event, ResponseFailed | ResponseAborted):
                if i != len(lane) - 1:
                    raise Broken(f"{call}: something after the terminal event")
                if not self.may_abort:
                    raise Broken(f"{call}: ended with {event} at {i} of {len(wanted)}")
            elif i >= len(wanted) or type(event).__name__ != wanted[i][0]:
                raise Broken(f"{call}: event {i} is {event}, wanted {wanted[i : i + 1]}")
            elif isinstance(event, ChunkReleased):
                self._check_frame(call, event.frame, wanted[i][1], symbols)

    def _check_frame(self, call: str, frame: bytes, wanted: bytes, symbols: dict[str, str]) -> None:
        is_, should = frame.decode().split("|"), wanted.decode().split("|")
        if len(is_) != len(should):
            raise Broken(f"{call}: {frame!r}, wanted {wanted!r}")
        for value, symbol in zip(is_, should, strict=True):
            if not symbol.startswith("@"):
                if value != symbol:
                    raise Broken(f"{call}: {frame!r}, wanted {wanted!r}")
            elif symbols.setdefault(symbol, value) != value:
                raise Broken(f"{call}: effect {symbol} used as {value} and as {symbols[symbol]}")
            elif not self.faults.restart:
                self._check_record(call, symbol, value)

    def _check_record(self, call: str, symbol: str, value: str) -> None:
        stage, _, number = symbol[1:].partition("/")
        recorded = self.server.recorded.get((f"stage:{stage}", call, f"0/response/{number}"))
        said = recorded.get("decision") or recorded.get("error") if isinstance(recorded, dict) else recorded
        if str(said) != value:
            raise Broken(f"{call}: effect {symbol} used as {value}, the log says {recorded}")
