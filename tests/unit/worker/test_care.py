"""What an owner does about poison, undecodable entries, dead edges, old calls and missing bodies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from hashlib import sha256

import msgspec
import pytest

from luthien_stream.bus.memory import MemoryBus
from luthien_stream.bus.port import START, Open
from luthien_stream.core.digest import EMPTY, chain
from luthien_stream.core.stagecall import Doom
from luthien_stream.events import pack
from luthien_stream.events.log import (
    AnyEvent,
    ApprovalDecided,
    RequestReleased,
    ResponseAborted,
    ResponseCompleted,
    ResponseFailed,
)
from luthien_stream.worker.clock import SystemClock
from luthien_stream.worker.partition import Partition
from luthien_stream.worker.poison import Suspect, read_suspect
from luthien_stream.worker.presence import Presence
from luthien_stream.worker.stall import Running, Watch
from tests.unit.worker.toys import EDGE, QUICK, Hands, Toy, answer, request
from tests.wait import wait_until


class Crash(BaseException):
    """Stands for the end of the process."""


def crash() -> None:
    raise Crash


@pytest.fixture
async def hands() -> AsyncIterator[Hands]:
    hands = Hands(MemoryBus())
    yield hands
    await hands.close()


def error_of(hands: Hands, call: str) -> str:
    """The error of a call's terminal event."""
    last = hands.lane(call)[-1]
    assert isinstance(last, ResponseFailed)
    return last.error


def done_or_ended(hands: Hands, task: asyncio.Task[None], *calls: str) -> bool:
    """Whether the owner died or has closed the calls."""
    return task.done() or hands.ended(*calls)


async def crash_until_closed(hands: Hands, *calls: str) -> int:
    """Give the partition to one worker after the other; return how many died."""
    for died in range(10):
        owner = await hands.acquire(f"w{died}")
        task = hands.tasks[-1]
        await wait_until(partial(done_or_ended, hands, task, *calls))
        if hands.ended(*calls):
            return died
        hands.tasks.pop()
        assert isinstance(task.exception(), Crash)
        assert not owner.lost
    raise AssertionError("never closed")


async def test_poison_costs_its_own_call_only() -> None:
    """An event that ends the worker is found, in the rebuild too, and put among the dead letters."""
    hands = Hands(MemoryBus(), make=lambda: Toy(crash))
    await hands.send(request("bad"), request("good"))
    await hands.send(*answer("bad", [b"a", b"X"]), *answer("good", [b"b"]))
    assert await crash_until_closed(hands, "bad", "good") <= 5
    assert error_of(hands, "bad") == "poison"
    assert isinstance(hands.lane("good")[-1], ResponseCompleted)
    ((_, letter),) = await hands.bus.dead_letters()
    assert (letter["call"], letter["error"]) == (b"bad", b"poison")
    await hands.close()


async def test_poison_among_entries_that_were_settled() -> None:
    """What an earlier owner survived may end the next one: it is found below the cursor too."""
    hands = Hands(MemoryBus(), make=lambda: Toy(crash))
    await hands.acquire("w", make=Toy)
    await hands.send(request("bad"), request("good"))
    last = await hands.send(*answer("bad", [b"a", b"X"], end=False), *answer("good", [b"b"], end=False))
    await wait_until(lambda: hands.bus.data.partition(hands.key).cursor >= last)
    hands.kill()
    await hands.send(ResponseCompleted(call="good", n=3, lane="original"))
    assert await crash_until_closed(hands, "bad", "good") <= 5
    assert error_of(hands, "bad") == "poison"
    assert (hands.frames("good"), type(hands.lane("good")[-1])) == ([b"b|0"], ResponseCompleted)
    await hands.close()


async def test_a_convicted_call_is_cut_at_once() -> None:
    """What the watchdog left as last words is not run a second time."""
    hands = Hands(MemoryBus(), make=lambda: Toy(crash))
    await hands.send(request("bad"), request("good"))
    entry = await hands.send(*answer("bad", [b"X"]))
    hands.bus.data.partition(hands.key).suspect = Suspect("bad", entry).convicted().text()
    await hands.acquire("w1")
    await hands.send(*answer("good", [b"b"]))
    await wait_until(lambda: hands.ended("bad", "good"))
    assert error_of(hands, "bad") == "poison"
    await hands.close()


def test_the_watchdog_sees_what_ends_a_call() -> None:
    """A policy may loop in its last words too; the call is named while they run."""
    watch, seen = Watch(), list[Running | None]()

    class Last(Toy):
        def cut(self, reason: str, message: str) -> Sequence[AnyEvent]:
            seen.append(watch.running)
            return super().cut(reason, message)

    partition = Partition("s", 0, Last, now=SystemClock().now_us, watch=watch, seen_every=1)
    partition.take("1-0", f"edge:{EDGE}", [request("c")])
    partition.finish_rebuild()
    partition.doom(partition.calls["c"], Doom("deadline", "too late"))
    assert partition.turn().closed == ["c"]
    assert (seen, watch.running) == ([("s:0", "c", START)], None)


def test_a_run_that_ends_short_after_its_rebuild_is_closed() -> None:
    """The log has lost what an earlier owner released of, and goes on to another end: the call ends where it was."""
    partition = Partition("s", 0, Toy, now=SystemClock().now_us, watch=Watch(), seen_every=1)
    partition.resume({"c": Open("1-0", 7, 123, EDGE, 0)}, {})
    partition.take("1-0", f"edge:{EDGE}", [request("c")], known_only=True)
    partition.finish_rebuild()
    assert partition.turn().closed == []
    partition.take("2-0", f"edge:{EDGE}", answer("c", []))
    turn = partition.turn()
    (end,) = [event for events in turn.outputs.values() for event in events if isinstance(event, ResponseFailed)]
    assert (end.n, end.prev, end.error) == (7, 123, "nondeterminism")
    assert turn.closed == ["c"]


def test_a_suspect_is_counted_by_event() -> None:
    """The count rises while it is the same event, and begins anew for another."""
    suspect = read_suspect("c 1-0 1")
    assert suspect.again("c", "1-0").crashes == 2
    assert suspect.again("c", "2-0").crashes == 1
    assert read_suspect(suspect.text()) == suspect
    assert read_suspect("").crashes == 0


async def test_an_undecodable_event_is_a_dead_letter(hands: Hands) -> None:
    """Its call is cut if it names one; the others of the entry, and entries that are no pack, do no harm."""
    await hands.acquire("w1")
    await hands.send(request("bad"), request("good"))
    await wait_until(lambda: bool(hands.lane("bad") and hands.lane("good")))
    broken = msgspec.msgpack.encode({"type": "chunk.received", "call": "bad", "n": "no number", "frame": 5})
    good = [msgspec.Raw(pack.encode_event(event)) for event in answer("good", [b"b"])]
    entry = msgspec.msgpack.encode({"src": f"edge:{EDGE}", "events": [msgspec.Raw(broken), *good]})
    await hands.bus.append(hands.stream, entry)
    await hands.bus.append(hands.stream, b"\xc1 garbage")
    await wait_until(lambda: hands.ended("bad", "good"))
    assert error_of(hands, "bad") == "dead_letter"
    await wait_until(lambda: len(hands.bus.data.dead) == 2)
    hands.kill()
    await hands.acquire("w2")
    await hands.send(request("next"), *answer("next", [b"a"]))
    await wait_until(lambda: hands.ended("next"))
    assert len(hands.bus.data.dead) == 2


def spilled_past(hands: Hands, entry: str) -> bool:
    """Whether an entry is no longer needed, and was trimmed."""
    kept = [each.id for each in hands.bus.peek(hands.stream, "0-0", 1)]
    return bool(hands.bus.data.partition(hands.key).spills) and kept[:1] != [entry]


async def test_a_held_call_survives_spills_and_takeovers(hands: Hands) -> None:
    """Its events move to a list, the stream is trimmed, and a new owner goes on from there, again and again."""
    limits = msgspec.structs.replace(QUICK, spill_age_s=0.0)
    await hands.acquire("w1", limits=limits)
    await hands.send(request("c"), *answer("c", [b"J", b"A", b"x"]))
    found = hands.bus.data.partition(hands.key)
    for worker in ("w2", "w3"):
        first = await hands.send(request(f"of {worker}"), *answer(f"of {worker}", [b"a"]))
        await wait_until(partial(spilled_past, hands, first))
        await wait_until(partial(hands.ended, f"of {worker}"))
        hands.kill()
        await hands.acquire(worker, limits=limits)
    await hands.send(ApprovalDecided(call="c", key="0/response/1", decision="allow"), src="console:1")
    await wait_until(lambda: hands.ended("c"))
    assert hands.judged == 1
    assert len(hands.frames("c")) == 3
    assert found.spills == {}


async def test_calls_of_a_dead_edge_are_reaped_once(hands: Hands) -> None:
    """An edge without a heartbeat is dead after a while, but not in the quiet time after a restart of the server."""
    limits = msgspec.structs.replace(QUICK, edge_ttl_s=0.2)
    presence = Presence(hands.bus, SystemClock(), every_s=0.02, edge_ttl_s=0.2)
    await hands.bus.beat("edge", EDGE, {}, ttl_ms=60_000)
    await presence.poll()
    await hands.acquire("w1", limits=limits, presence=presence)
    await hands.send(request("c"))
    await wait_until(lambda: bool(hands.lane("c")))
    await hands.bus.unbeat("edge", EDGE)
    hands.bus.restart()
    await presence.poll()
    assert not presence.is_gone(EDGE)

    async def gone() -> bool:
        await presence.poll()
        return hands.ended("c")

    await wait_until(gone)
    assert error_of(hands, "c") == "edge_gone"
    assert len(hands.lane("c")) == 2


async def test_a_call_past_its_deadline_is_ended(hands: Hands) -> None:
    """The owner cuts it, though nothing comes any more."""
    await hands.acquire("w1")
    await hands.send(request("c", deadline=SystemClock().now_us() + 100_000))
    await wait_until(lambda: hands.ended("c"))
    assert error_of(hands, "c") == "deadline"


async def test_the_edge_may_ask_for_the_end(hands: Hands) -> None:
    """An abort without an ordinal ends the call with the edge's reason."""
    await hands.acquire("w1")
    await hands.send(request("c"), *answer("c", [b"a"], end=False))
    await hands.send(ResponseAborted(call="c", lane="original", reason="watchdog"))
    await wait_until(lambda: hands.ended("c"))
    assert error_of(hands, "c") == "watchdog"


async def test_a_body_by_reference_is_fetched_or_the_call_is_ended(hands: Hands) -> None:
    """A request whose stored body is gone fails closed; another is run with its body."""
    seen: list[bytes] = []

    class Reader(Toy):
        def feed(self, event: AnyEvent, source: str = "") -> None:
            seen.append(getattr(event, "body", b""))
            super().feed(event, source)

    body = b"x" * 40_000
    ref = sha256(body).hexdigest()
    await hands.bus.put_body(ref, body, ttl_ms=60_000)
    await hands.acquire("w1", make=Reader)
    for call, its in (("here", ref), ("gone", "0" * 64)):
        one = request(call)
        one.body_ref = its
        await hands.send(one)
    await wait_until(lambda: hands.ended("gone") and bool(hands.lane("here")))
    assert seen == [body]
    assert error_of(hands, "gone") == "body_missing"


async def test_a_splice_of_two_runs_is_stopped(hands: Hands) -> None:
    """A later stage ends the call when the digest of the stage before does not fit what it has."""
    await hands.acquire("w1")
    first = request("c", hops=("early@11111111", "main@00000000"))
    first.prev = EMPTY
    await hands.send(first, src="stage:early@11111111")
    second = RequestReleased(call="c", n=1, prev=chain(EMPTY, first) ^ 1)
    await hands.send(second, src="stage:early@11111111")
    await wait_until(lambda: hands.ended("c"))
    assert error_of(hands, "c") == "digest"


async def test_a_turn_hold_longer_than_the_window_gives_credit(hands: Hands) -> None:
    """A call that puts nothing out still tells its edge what was seen."""
    await hands.acquire("w1")
    await hands.send(request("c"), *answer("c", [b"h"] * 10, end=False))

    def credit() -> int:
        entries = hands.bus.peek(hands.inbox, "0-0", 1000)
        return max((getattr(e, "upto", 0) for entry in entries for e in pack.decode(entry.raw).events), default=0)

    await wait_until(lambda: credit() == 12)
    await hands.send(ResponseCompleted(call="c", n=12, lane="original"))
    await wait_until(lambda: hands.ended("c"))
    assert len(hands.frames("c")) == 10


async def test_a_full_server_is_still_trimmed() -> None:
    """What can be trimmed goes although nothing can be spilled; turns wait and are settled when there is room."""
    hands = Hands(MemoryBus(), limits=msgspec.structs.replace(QUICK, spill_age_s=0.0, spill_every_s=0.3))
    await hands.acquire("w1")
    first = await hands.send(request("a"), *answer("a", [b"x"]))
    await hands.send(request("b"), *answer("b", [b"A"]))
    await wait_until(lambda: hands.ended("a") and len(hands.lane("b")) == 2)
    await hands.send(ApprovalDecided(call="b", key="0/response/0", decision="allow"), src="console:1")
    hands.bus.maxmemory = 1
    await wait_until(lambda: first not in [entry.id for entry in hands.bus.peek(hands.stream, "0-0", 10)])
    hands.bus.maxmemory = 0
    await wait_until(lambda: hands.ended("b"))
    await hands.close()


async def test_a_takeover_on_a_full_server_trims() -> None:
    """A rebuild that cannot settle makes the room itself: what no open call needs goes."""
    hands = Hands(MemoryBus())
    await hands.acquire("w1")
    await hands.send(request("a"))
    last = await hands.send(*answer("a", [b"x"]))
    await wait_until(lambda: hands.ended("a"))
    hands.kill()
    second = await hands.send(request("b"), *answer("b", [b"y"]))
    hands.bus.maxmemory = 1
    await hands.acquire("w2")
    await wait_until(lambda: [entry.id for entry in hands.bus.peek(hands.stream, "0-0", 10)] == [last, second])
    hands.bus.maxmemory = 0
    await wait_until(lambda: hands.ended("b"))
    assert hands.frames("b") == [b"y|0"]
    await hands.close()
