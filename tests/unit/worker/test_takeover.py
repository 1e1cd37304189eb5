"""A partition changes hands at a bad moment: what was decided stays decided, and neighbours notice nothing."""

from __future__ import annotations

import asyncio
from hashlib import sha256

import msgspec
import pytest

from luthien_stream.bus.memory import MemoryBus
from luthien_stream.bus.port import Entry
from luthien_stream.core.program import Want
from luthien_stream.events import pack
from luthien_stream.events.log import AnyEvent, ApprovalDecided, ChunkReceived, EffectRecorded, ResponseCompleted
from luthien_stream.worker.clock import SystemClock
from tests.unit.worker.toys import QUICK, Hands, Toy, answer, request
from tests.wait import wait_until

ALLOW = ApprovalDecided(call="c", key="0/response/0", decision="allow")


@pytest.mark.parametrize("answer_first", [True, False])
async def test_an_answer_and_a_timer_at_once(answer_first: bool) -> None:
    """Whichever the owner took is the one that every later owner takes, though the other lies in the log as well."""
    hands = Hands(MemoryBus())

    async def expire(call: str, want: Want) -> str:
        await hands.gate.wait()
        return "expired"

    hands.performers["ask"] = expire
    hands.gate.clear()
    await hands.acquire("w1")
    await hands.send(request("c"), *answer("c", [b"A"], end=False))
    await wait_until(lambda: len(hands.lane("c")) == 2)
    if answer_first:
        await hands.send(ALLOW, src="console:1")
        hands.gate.set()
    else:
        hands.gate.set()
        await hands.send(ALLOW, src="console:1")
    await wait_until(lambda: len(hands.lane("c")) == 3)
    hands.kill()
    await hands.acquire("w2")
    await hands.send(ChunkReceived(call="c", n=3, frame=b"x"), ResponseCompleted(call="c", n=4, lane="original"))
    await wait_until(lambda: hands.ended("c"))
    log = [event for entry in hands.bus.peek(hands.stream, "0-0", 99) for event in pack.decode(entry.raw).events]
    (record,) = [event for event in log if isinstance(event, EffectRecorded)]
    assert hands.frames("c") == [b"%b|%b" % (letter, repr(record.value).encode()) for letter in (b"A", b"x")]
    assert isinstance(hands.lane("c")[-1], ResponseCompleted)
    await hands.close()


async def test_a_pack_of_three_calls_survives_a_kill_at_any_step() -> None:
    """One waits for a judge, one streams, one closes: wherever the owner dies, each ends as if nothing had been."""
    for steps in range(40):
        hands = Hands(MemoryBus())
        hands.gate.clear()
        await hands.send(request("a"), request("b"), request("c"))
        await hands.acquire("w1")
        await hands.send(*answer("a", [b"J"]), *answer("b", [b"x"], end=False), *answer("c", [b"y"]))
        for _ in range(steps):
            await asyncio.sleep(0)
        hands.kill()
        await hands.acquire("w2")
        await hands.send(ChunkReceived(call="b", n=3, frame=b"z"), ResponseCompleted(call="b", n=4, lane="original"))
        await wait_until(lambda hands=hands: hands.ended("b", "c"))  # type: ignore[misc]
        hands.gate.set()
        await wait_until(lambda hands=hands: hands.ended("a"))  # type: ignore[misc]
        released = [hands.frames(call) for call in "abc"]
        assert released == [[b"J|1"], [b"x|0", b"z|0"], [b"y|0"]], f"killed after {steps} steps"
        assert all(isinstance(hands.lane(call)[-1], ResponseCompleted) for call in "abc")
        await hands.close()


async def test_a_stored_body_lives_as_long_as_its_call() -> None:
    """A held call outlasts the time its body was stored for; the owner after that runs the same request."""
    later, seen = [0], list[bytes]()
    bus = MemoryBus(clock=lambda: SystemClock().now_us() + later[0])

    class Reader(Toy):
        def feed(self, event: AnyEvent, source: str = "") -> None:
            seen.extend([event.body] if hasattr(event, "body") else [])
            super().feed(event, source)

    body = b"x" * 40_000
    one = request("c")
    one.body_ref, one.body_size = sha256(body).hexdigest(), len(body)
    hands = Hands(bus, make=Reader, limits=msgspec.structs.replace(QUICK, spill_age_s=0.0))
    await bus.put_body(one.body_ref, body, ttl_ms=60_000)
    until = bus.data.bodies[one.body_ref].expires
    await hands.acquire("w1")
    await hands.send(one)
    await hands.send(*answer("c", [b"A"]))
    await wait_until(lambda: bool(bus.data.partition(hands.key).spills))
    await wait_until(lambda: bus.data.bodies[one.body_ref].expires > until)
    hands.kill()
    later[0] = 61_000_000
    await hands.acquire("w2")
    await hands.send(ALLOW, src="console:1")
    await wait_until(lambda: hands.ended("c"))
    assert seen == [body, body]
    assert isinstance(hands.lane("c")[-1], ResponseCompleted)
    await hands.close()


async def test_nothing_is_spilled_during_a_rebuild() -> None:
    """The new owner trims, but leaves a call where it begins until it has read the log; a kill there harms nothing."""

    class Slow(MemoryBus):
        """Reads wait while they are told to; trims are counted."""

        reading, trims = asyncio.Event(), 0

        async def range(self, stream: str, after: str, upto: str = "+", *, count: int = 1000) -> list[Entry]:
            await self.reading.wait()
            return await super().range(stream, after, upto, count=count)

        async def trim(self, partition: str, owner: str, *, max_age_ms: int, min_age_ms: int = 0) -> int:
            self.trims += 1
            return await super().trim(partition, owner, max_age_ms=max_age_ms, min_age_ms=min_age_ms)

    bus = Slow()
    bus.reading.set()
    hands = Hands(bus)
    await hands.acquire("w1")
    first = await hands.send(request("c"))
    await hands.send(*answer("c", [b"J", b"A"]))
    await wait_until(lambda: len(hands.lane("c")) == 3)
    for worker in ("w2", "w3"):
        hands.kill()
        bus.reading.clear()
        await hands.acquire(worker, limits=msgspec.structs.replace(QUICK, spill_age_s=0.0))
        before = bus.trims
        await wait_until(lambda before=before: bus.trims > before + 2)  # type: ignore[misc]
        found = bus.data.partition(hands.key)
        assert (found.spills, found.open["c"].first) == ({}, first)
    bus.reading.set()
    await hands.send(ApprovalDecided(call="c", key="0/response/1", decision="allow"), src="console:1")
    await wait_until(lambda: hands.ended("c"))
    assert (hands.judged, len(hands.frames("c"))) == (1, 2)
    await hands.close()
