"""Toy programs and hands for the tests of the worker: a program whose outputs follow from its input letters."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any

from luthien_stream.bus import keys
from luthien_stream.bus.memory import MemoryBus
from luthien_stream.core.program import Folded, Program, Want
from luthien_stream.events import pack
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    Hop,
    RequestReceived,
    RequestReleased,
    ResponseCompleted,
    ResponseFailed,
    ResponseStarted,
    Slip,
)
from luthien_stream.worker.asking import Asking
from luthien_stream.worker.clock import SystemClock
from luthien_stream.worker.effects import Perform, timer
from luthien_stream.worker.limits import Limits
from luthien_stream.worker.owner import Owner
from luthien_stream.worker.presence import Presence
from luthien_stream.worker.stall import Watch
from luthien_stream.worker.station import Station

STAGE = "main@00000000"
EDGE = "e1"
SRC = f"edge:{EDGE}"
QUICK = Limits(
    log_kept_s=0,
    block_s=0.05,
    sweep_s=0.02,
    spill_every_s=0.02,
    lease_s=0.5,
    balance_s=0.02,
    beat_s=0.05,
    beat_ttl_s=0.3,
)

Step = Generator[Want | None, Any, None]


class Toy(Program):
    """Each letter of a chunk says what to do with it, see `_chunk`. Effects are named by their order."""

    def __init__(self, crash: Callable[[], None] = lambda: None) -> None:
        self.over = False
        self._inputs: deque[AnyEvent] = deque()
        self._outputs: list[AnyEvent] = []
        self._known: dict[str, Any] = {}
        self._want: Want | None = None
        self._run: Step = self._life()
        self._begun = False
        self._call = ""
        self._crash = crash

    def feed(self, event: AnyEvent, source: str = "") -> None:
        self._call = event.call
        self._inputs.append(event)

    def decide(self, key: str, value: Any, of: str = "", time: int = 0) -> None:
        self._known.setdefault(key, value)

    def wants(self) -> Sequence[Want]:
        return [self._want] if self._want is not None and self._want.key not in self._known else []

    def advance(self) -> Sequence[AnyEvent]:
        while not self.over:
            if self._want is not None:
                if self._want.key not in self._known:
                    break
                send = self._known[self._want.key]
            elif self._begun:
                if not self._inputs:
                    break
                send = self._inputs.popleft()
            else:
                self._begun, send = True, None
            try:
                self._want = self._run.send(send)
            except StopIteration:
                self.over = True
        outputs, self._outputs = self._outputs, []
        return outputs

    def folds(self) -> Sequence[Folded]:
        return ()

    def cut(self, reason: str, message: str) -> Sequence[AnyEvent]:
        self.over = True
        return [ResponseFailed(call=self._call, lane="final", error=reason, message=message)]

    def _life(self) -> Step:
        held: list[AnyEvent] = []
        last, count = 0, 0
        while True:
            event: Any = yield None
            if isinstance(event, RequestReceived):
                self._outputs.append(RequestReleased(call=event.call, model=event.model))
            elif isinstance(event, ResponseStarted):
                self._outputs.append(ResponseStarted(call=event.call, status=event.status))
            elif isinstance(event, ChunkReceived):
                if event.frame[:1] in b"JAT":
                    kind = {b"J": "judge", b"A": "ask", b"T": "timer"}[event.frame[:1]]
                    args = int(event.frame[1:]) if kind == "timer" else None
                    last = yield Want(f"0/response/{count}", kind, args, None if kind == "timer" else 30.0)
                    count += 1
                self._chunk(event, last, held)
            else:
                self._outputs += held
                self._outputs.append(ResponseCompleted(call=event.call, lane="final"))
                return

    def _chunk(self, event: ChunkReceived, last: Any, held: list[AnyEvent]) -> None:
        """`0` gives nothing, `2` two chunks, `h` is held to the end, `!` raises, `X` crashes; `J`, `A`, `T` wait."""
        letter = event.frame[:1]
        if letter == b"!":
            raise RuntimeError("a fault of the program")
        if letter == b"X":
            self._crash()
        frame = event.frame + b"|" + repr(last).encode()
        out = [ChunkReleased(call=event.call, frame=frame) for _ in range({b"0": 0, b"2": 2}.get(letter, 1))]
        if letter == b"h":
            held += out
        else:
            self._outputs += out


def request(call: str, *, deadline: int = 0, body: bytes = b"", hops: tuple[str, ...] = (STAGE,)) -> RequestReceived:
    """The request that opens a call."""
    slip = Slip(version="v", hops=tuple(Hop(stage, 0) for stage in hops), final_by=f"stage:{hops[-1]}")
    return RequestReceived(
        call=call, n=0, edge=EDGE, slip=slip, format="openai_chat", path="/", deadline=deadline, body=body
    )


def answer(call: str, frames: Sequence[bytes], *, end: bool = True) -> list[AnyEvent]:
    """What the edge writes after a request was released."""
    events: list[AnyEvent] = [ResponseStarted(call=call, n=1, status=200)]
    events += [ChunkReceived(call=call, n=2 + i, frame=frame) for i, frame in enumerate(frames)]
    if end:
        events.append(ResponseCompleted(call=call, n=2 + len(frames), lane="original"))
    return events


class Hands:
    """An edge, a console and the owners of partition 0, by hand."""

    def __init__(self, bus: MemoryBus, *, make: Callable[[], Program] = Toy, limits: Limits = QUICK) -> None:
        self.bus = bus
        self.key = keys.partition(STAGE, 0)
        self.stream = keys.partition_stream(self.key)
        self.inbox = keys.inbox(EDGE)
        self.judged = 0
        self.performers: dict[str, Perform] = {
            "judge": self._judge,
            "ask": self._wait,
            "timer": timer(SystemClock()),
        }
        self.gate = asyncio.Event()
        self.gate.set()
        self._make, self._limits = make, limits
        self.tasks: list[asyncio.Task[None]] = []

    async def _wait(self, call: str, want: Want) -> None:
        await asyncio.Event().wait()

    async def _judge(self, call: str, want: Want) -> int:
        await self.gate.wait()
        self.judged += 1
        return self.judged

    async def send(self, *events: AnyEvent, src: str = SRC) -> str:
        """Append one entry to the partition."""
        return await self.bus.append(self.stream, pack.encode(src, events))

    async def acquire(self, worker: str, **changes: Any) -> Owner:
        """Take the partition whoever holds it, and run its owner."""
        found = self.bus.data.partition(self.key)
        found.lease = None
        acquired = await self.bus.acquire(self.key, worker, lease_ms=60_000)
        assert acquired is not None
        owner = Owner(self.station(worker, **changes), 0, acquired)
        self.tasks.append(asyncio.create_task(owner.run()))
        return owner

    def station(self, worker: str, **changes: Any) -> Station:
        """What the owners of one worker share."""
        clock = SystemClock()
        presence = changes.pop("presence", Presence(self.bus, clock, every_s=0.02, edge_ttl_s=0.05))
        fields = {"bus": self.bus, "make": self._make, "limits": self._limits, **changes}
        return Station(
            worker=worker,
            stage=STAGE,
            clock=clock,
            watch=Watch(),
            presence=presence,
            asking=Asking(self.bus, clock, presence, STAGE),
            performers=self.performers,
            **fields,
        )

    def kill(self) -> None:
        """End the newest owner without any care."""
        self.tasks.pop().cancel()

    def lane(self, call: str) -> list[AnyEvent]:
        """What the inbox has of a call's lane, each ordinal once."""
        events = [e for entry in self.bus.peek(self.inbox, "0-0", 10**6) for e in pack.decode(entry.raw).events]
        first: dict[int, AnyEvent] = {}
        for event in events:
            if event.call == call and event.n >= 0:
                first.setdefault(event.n, event)
        return [first[n] for n in sorted(first)]

    def frames(self, call: str) -> list[bytes]:
        """The frames among them."""
        return [event.frame for event in self.lane(call) if isinstance(event, ChunkReleased)]

    def ended(self, *calls: str) -> bool:
        """Whether these calls are closed and the partition has forgotten them."""
        found = self.bus.data.partition(self.key)
        return all(call in found.closed and call not in found.open for call in calls)

    async def close(self) -> None:
        """End all owners."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
