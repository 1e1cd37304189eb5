"""The played parts of the simulated world: edges that publish and relay, and people who answer."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from luthien_stream.bus import keys
from luthien_stream.core.accept import TAKEN, Intake
from luthien_stream.errors import BusError
from luthien_stream.events import pack
from luthien_stream.events.log import (
    AnyEvent,
    ApprovalDecided,
    ChunkReceived,
    ChunkSeen,
    RequestReleased,
    ResponseAborted,
    ResponseCompleted,
    ResponseFailed,
    ResponseStarted,
)
from tests.chaos.faulty import FaultyBus
from tests.chaos.programs import STAGES, request

if TYPE_CHECKING:
    from tests.chaos.world import World

WINDOW = 4
"""Events sent and not seen by the stage."""
KEEP_S, WATCHDOG_S, BEAT_S, TTL_S = 0.4, 6.0, 0.1, 0.45


class Call:
    """One call at its edge."""

    def __init__(self, id: str, holds: bool, letters: str) -> None:
        self.id, self.holds, self.letters = id, holds, letters
        self.intake = Intake(f"stage:{STAGES[1]}")
        self.lane: list[AnyEvent] = []
        self.sent = self.seen = 0
        self.progress = 0.0
        self.go = self.over = False


class Edge:
    """One edge process with a few calls."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name = world, name
        self._stream = keys.partition_stream(keys.partition(STAGES[0], 0))
        self._queue: deque[AnyEvent] = deque()
        self._kept: deque[tuple[float, bytes]] = deque()
        self._position, self._beat, self._known = "0-0", -1.0, 0
        self.dead = False
        rng = world.rng
        self.calls: dict[str, Call] = {}
        for i in range(rng.choice((2, 3))):
            letters = "".join(rng.choice("pppJH20") for _ in range(rng.randint(1, 7)))
            self.calls[f"{name}{i}"] = Call(f"{name}{i}", rng.random() < 0.25, letters)

    @property
    def done(self) -> bool:
        """All its calls have ended, or it has."""
        return self.dead or (not self._queue and all(call.over for call in self.calls.values()))

    async def run(self, bus: FaultyBus) -> None:
        """Drive the calls until the world ends."""
        while True:
            await asyncio.sleep(0.002)
            for call in self.calls.values():
                self._drive(call)
            try:
                await self._beat_if_due(bus)
                await self._publish(bus)
                for entry in await bus.range(keys.inbox(self._name), self._position, count=6):
                    self._position = entry.id
                    self._relay(pack.decode(entry.raw))
            except BusError:
                continue

    def _drive(self, call: Call) -> None:
        rng, now = self._world.rng, self._world.loop.now
        if call.over:
            return
        if call.sent == 0:
            if rng.random() < 0.1:
                call.progress, call.sent = now, 1
                self._queue.append(request(call.id, self._name, holds=call.holds))
        elif now - call.progress > WATCHDOG_S:
            self._end(call, "watchdog")
        elif call.go and call.sent <= len(call.letters) + 2 and call.sent - call.seen < WINDOW and rng.random() < 0.5:
            self._queue.append(self._next(call))
            call.sent += 1

    def _next(self, call: Call) -> AnyEvent:
        i = call.sent - 2
        if i < 0:
            return ResponseStarted(call=call.id, n=1, status=200)
        if i < len(call.letters):
            return ChunkReceived(call=call.id, n=call.sent, frame=f"{call.letters[i]}:{i}".encode())
        return ResponseCompleted(call=call.id, n=call.sent, lane="original")

    def _end(self, call: Call, why: str) -> None:
        self._world.stats[why] += 1
        call.over = True
        call.lane.append(ResponseFailed(call=call.id, lane="final", error=why))
        self._queue.append(ResponseAborted(call=call.id, lane="original", reason=why))

    async def _beat_if_due(self, bus: FaultyBus) -> None:
        now = self._world.loop.now
        if now - self._beat > BEAT_S or self._known != self._world.server.incarnation:
            await bus.beat("edge", self._name, {}, ttl_ms=int(TTL_S * 1000))
            self._beat = now

    async def _publish(self, bus: FaultyBus) -> None:
        """One pack in flight, repeated until it is confirmed; to a restarted server the kept ones first."""
        await self._resend(bus)
        if not self._queue or self._world.rng.random() < 0.3:
            return
        events = [self._queue.popleft() for _ in range(min(5, len(self._queue)))]
        raw = pack.encode(f"edge:{self._name}", events)
        while True:
            try:
                await self._resend(bus)
                await bus.append(self._stream, raw)
                break
            except BusError:
                await asyncio.sleep(0.002)
        self._kept.append((self._world.loop.now, raw))
        while self._kept[0][0] < self._world.loop.now - KEEP_S:
            self._kept.popleft()

    async def _resend(self, bus: FaultyBus) -> None:
        while self._known != self._world.server.incarnation:
            incarnation = self._world.server.incarnation
            for _, raw in list(self._kept):
                await bus.append(self._stream, raw)
            self._kept = deque((self._world.loop.now, raw) for _, raw in self._kept)
            self._known = incarnation

    def _relay(self, found: pack.Pack) -> None:
        for event in found.events:
            call = self.calls.get(event.call)
            if call is None or call.over:
                continue
            if isinstance(event, ChunkSeen):
                call.seen, call.progress = max(call.seen, event.upto), self._world.loop.now
                continue
            self._accept(call, found.src, event)

    def _accept(self, call: Call, src: str, event: Any) -> None:
        outcome = call.intake.accept(src, event)
        self._world.stats[outcome] += 1
        if outcome == "splice":
            self._end(call, "digest")
        if outcome != TAKEN:
            return
        call.lane.append(event)
        call.progress = self._world.loop.now
        call.go = call.go or isinstance(event, RequestReleased)
        call.over = call.intake.over


async def console(world: World) -> None:
    """People answer what is held, some twice and otherwise."""
    bus = FaultyBus(world)
    stream = keys.partition_stream(keys.partition(STAGES[0], 0))
    asked: set[tuple[str, str]] = set()
    while True:
        await asyncio.sleep(0.03)
        for edge in world.edges.values():
            for call in edge.calls.values():
                key = f"0/response/{world.rng.randrange(4)}"
                if not call.go or call.over or (call.id, key) in asked or world.rng.random() < 0.7:
                    continue
                asked.add((call.id, key))
                for _ in range(world.rng.choice((1, 1, 2))):
                    event = ApprovalDecided(call=call.id, key=key, decision=str(world.rng.randint(100, 10**6)))
                    await _surely(bus, stream, event)


async def _surely(bus: FaultyBus, stream: str, event: AnyEvent) -> None:
    while True:
        try:
            await bus.append(stream, pack.encode("console:x", [event]))
            return
        except BusError:
            await asyncio.sleep(0.01)
