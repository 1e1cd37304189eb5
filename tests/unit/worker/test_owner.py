"""An owner of a partition: takeovers, effects, packs, gaps and what a server forgets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from luthien_stream.bus.memory import MemoryBus
from luthien_stream.bus.memory.reader import MemoryReader
from luthien_stream.bus.port import Entry
from luthien_stream.errors import BusUnavailable
from luthien_stream.events.log import ApprovalDecided, ResponseCompleted, ResponseFailed
from tests.unit.worker.toys import Hands, answer, request
from tests.wait import wait_until


@pytest.fixture
async def hands() -> AsyncIterator[Hands]:
    hands = Hands(MemoryBus())
    yield hands
    await hands.close()


async def test_a_call_goes_through(hands: Hands) -> None:
    """Request, answer and end are run and released in order, and the call is closed."""
    await hands.acquire("w1")
    await hands.send(request("c"))
    await wait_until(lambda: len(hands.lane("c")) == 1)
    await hands.send(*answer("c", [b"a", b"2", b"0"]))
    await wait_until(lambda: hands.ended("c"))
    assert hands.frames("c") == [b"a|0", b"2|0", b"2|0"]
    assert isinstance(hands.lane("c")[-1], ResponseCompleted)


async def test_repeats_are_dropped(hands: Hands) -> None:
    """What a producer repeats changes nothing, and a late copy of the request does not open the call anew."""
    await hands.acquire("w1")
    for _ in range(2):
        await hands.send(request("c"), *answer("c", [b"a"]))
    await hands.send(request("c"))
    await hands.send(request("d"), *answer("d", [b"a"]))
    await wait_until(lambda: hands.ended("c", "d"))
    assert hands.frames("c") == [b"a|0"]
    assert hands.bus.data.partition(hands.key).open == {}


async def test_an_effect_beyond_the_cursor_counts(hands: Hands) -> None:
    """A judge's recorded answer is used by the next owner although it lies behind unread entries."""
    await hands.acquire("w1")
    await hands.send(request("c"), *answer("c", [b"J"], end=False))
    await wait_until(lambda: len(hands.lane("c")) == 3)
    hands.kill()
    await hands.acquire("w2")
    await hands.send(ResponseCompleted(call="c", n=3, lane="original"))
    await wait_until(lambda: hands.ended("c"))
    assert hands.judged == 1
    assert hands.frames("c") == [b"J|1"]
    assert isinstance(hands.lane("c")[-1], ResponseCompleted)


async def test_a_slow_judge_delays_its_own_call_only(hands: Hands) -> None:
    """Of a pack with three calls two go on while one waits, whoever owns the partition."""
    hands.gate.clear()
    await hands.acquire("w1")
    await hands.send(request("a"), request("b"), request("c"))
    await hands.send(*answer("a", [b"J"]), *answer("b", [b"x"], end=False), *answer("c", [b"y"]))
    await wait_until(lambda: hands.ended("c") and len(hands.lane("b")) == 3)
    hands.kill()
    await hands.acquire("w2")
    await hands.send(ResponseCompleted(call="b", n=3, lane="original"))
    await wait_until(lambda: hands.ended("b"))
    hands.gate.set()
    await wait_until(lambda: hands.ended("a"))
    assert hands.frames("a") == [b"J|1"]


async def test_the_first_answer_of_a_person_counts(hands: Hands) -> None:
    """Doubled and contrary answers lose, also after a takeover."""
    await hands.acquire("w1")
    await hands.send(request("c"), *answer("c", [b"A", b"x"]))
    await wait_until(lambda: len(hands.lane("c")) == 2)
    await hands.send(ApprovalDecided(call="c", key="0/response/0", decision="allow"), src="console:1")
    await hands.send(ApprovalDecided(call="c", key="0/response/0", decision="deny"), src="console:2")
    await wait_until(lambda: hands.ended("c"))
    assert all(b"allow" in frame for frame in hands.frames("c"))


async def test_a_fenced_owner_stops(hands: Hands) -> None:
    """An owner that lost its partition writes nothing any more and takes nothing away from the next one."""
    stale = await hands.acquire("w1")
    await hands.acquire("w2")
    await hands.send(request("c"), *answer("c", [b"a", b"b"]))
    await wait_until(lambda: hands.ended("c") and stale.lost)
    assert hands.frames("c") == [b"a|0", b"b|0"]


async def test_forgotten_turns_are_sent_again(hands: Hands) -> None:
    """A server that lost its last moments gets the turns again, and the lane is whole."""
    await hands.acquire("w1")
    await hands.send(request("c"))
    await wait_until(lambda: len(hands.lane("c")) == 1)
    saved = hands.bus.snapshot()
    await hands.send(*answer("c", [b"J", b"b"], end=False))
    await wait_until(lambda: len(hands.lane("c")) == 4)
    before = hands.lane("c")
    hands.bus.restart(forget_to=saved)
    await hands.send(*answer("c", [b"J", b"b"]))
    await wait_until(lambda: hands.ended("c"))
    assert hands.judged == 1
    assert hands.frames("c") == [b"J|1", b"b|1"]
    assert [(e.n, e.prev) for e in before] == [(e.n, e.prev) for e in hands.lane("c")[:4]]


async def test_a_fault_of_a_program_ends_its_call_only(hands: Hands) -> None:
    """An exception ends the call with a typed error; its neighbour in the pack is untouched."""
    await hands.acquire("w1")
    await hands.send(request("a"), request("b"))
    await hands.send(*answer("a", [b"x", b"!"]), *answer("b", [b"y"]))
    await wait_until(lambda: hands.ended("a", "b"))
    last = hands.lane("a")[-1]
    assert isinstance(last, ResponseFailed)
    assert last.error == "worker_error"
    assert isinstance(hands.lane("b")[-1], ResponseCompleted)


async def test_a_log_that_cannot_be_read_is_not_asked_in_a_hot_loop() -> None:
    """A server that answers commands but takes no more readers is tried again after a pause."""
    tries = 0

    class Deaf(MemoryReader):
        async def read(self, positions: Mapping[str, str], *, count: int = 64, block_ms: int = 1000) -> list[Entry]:
            nonlocal tries
            tries += 1
            raise BusUnavailable

    class Busy(MemoryBus):
        def reader(self) -> MemoryReader:
            return Deaf(self)

    hands = Hands(Busy())
    await hands.acquire("w1")
    until = asyncio.get_running_loop().time() + 0.4
    await wait_until(lambda: asyncio.get_running_loop().time() > until)
    assert 1 < tries < 12
    await hands.close()
