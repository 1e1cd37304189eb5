"""Streams: order, blocking reads, the activity group, trimming."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from luthien_stream.bus.ids import following, order
from luthien_stream.bus.port import START, Bus, Reader, Span
from luthien_stream.errors import BusError, BusUnavailable
from tests.contract.conftest import Backend
from tests.wait import wait_until

A, B = "ls:{a}:inbox", "ls:{b}:inbox"
HOUR_MS = 3_600_000


@pytest.fixture
async def reader(bus: Bus) -> AsyncIterator[Reader]:
    """A reader of its own."""
    async with bus.reader() as reader:
        yield reader


async def raws(bus: Bus, stream: str) -> list[bytes]:
    """What a stream holds."""
    return [entry.raw for entry in await bus.range(stream, START)]


async def test_reading_from_the_start_sees_everything_in_order(bus: Bus, reader: Reader) -> None:
    """Entries come in the order of their ids, stream by stream, at most `count` of each."""
    ids = [await bus.append(A, b"%d" % n) for n in range(5)]
    await bus.append(B, b"b")
    assert ids == sorted(ids, key=order)
    first = await reader.read({A: START, B: START}, count=3)
    assert sorted((e.stream, e.raw) for e in first) == [(A, b"0"), (A, b"1"), (A, b"2"), (B, b"b")]
    rest = await reader.read({A: ids[2], B: following(START)}, count=3)
    assert [e.raw for e in rest if e.stream == A] == [b"3", b"4"]


async def test_a_span_tells_what_was_added_and_what_is_kept(bus: Bus) -> None:
    """Trimmed entries still count as added, so that a reader knows how many it has missed."""
    assert await bus.spans([A]) == {A: Span()}
    ids = [await bus.append(A, b"%d" % n) for n in range(5)]
    assert await bus.spans([A, B]) == {A: Span(5, 5, ids[0], ids[4]), B: Span()}
    assert await bus.trim_stream(A, ids[3], max_age_ms=HOUR_MS) == 3
    kept = (await bus.spans([A]))[A]
    assert (kept, kept.trimmed) == (Span(5, 2, ids[3], ids[4]), 3)
    await bus.trim_stream(A, following(ids[4]), max_age_ms=HOUR_MS)
    assert await bus.spans([A]) == {A: Span(5, 0, START, ids[4])}


async def test_any_bytes_pass(bus: Bus, reader: Reader) -> None:
    """Nothing in a pack is special, not even line ends, zeros or nothing at all."""
    odd = [b"", b"\x00\xff\r\n", b"$5\r\n", bytes(range(256)) * 400]
    for raw in odd:
        await bus.append(A, raw)
    assert [e.raw for e in await reader.read({A: START})] == odd


async def test_a_blocked_read_wakes_with_the_entry(bus: Bus, reader: Reader) -> None:
    """A reader that waits on several streams gets what is appended to any of them."""
    waiting = asyncio.create_task(reader.read({A: START, B: START}, block_ms=5000))
    await asyncio.sleep(0.02)
    id = await bus.append(B, b"x")
    assert [(e.stream, e.id, e.raw) for e in await waiting] == [(B, id, b"x")]


async def test_a_read_ends_when_its_time_has_passed(bus: Bus, reader: Reader) -> None:
    """`block_ms` is the deadline; zero does not wait at all."""
    assert await reader.read({A: START}, block_ms=20) == []
    assert await reader.read({A: START}, block_ms=0) == []


async def test_ranges_and_ends(bus: Bus) -> None:
    """A range excludes its start and includes its end; an absent stream is an empty one."""
    assert (await bus.range(A, START), await bus.first_id(A), await bus.last_id(A)) == ([], START, START)
    ids = [await bus.append(A, b"%d" % n) for n in range(4)]
    assert [e.id for e in await bus.range(A, ids[0], ids[2])] == ids[1:3]
    assert [e.id for e in await bus.range(A, START, count=2)] == ids[:2]
    assert (await bus.first_id(A), await bus.last_id(A)) == (ids[0], ids[3])


async def test_a_reader_behind_the_trim_point_can_tell(bus: Bus, reader: Reader) -> None:
    """After a trim `first_id` is past the reader's position, and the newest id ever written stays known."""
    ids = [await bus.append(A, b"%d" % n) for n in range(4)]
    assert await bus.trim_stream(A, ids[2], max_age_ms=HOUR_MS) == 2
    assert order(await bus.first_id(A)) > order(ids[0])
    assert [e.id for e in await reader.read({A: ids[0]})] == ids[2:]
    assert await bus.trim_stream(A, following(ids[3]), max_age_ms=HOUR_MS) == 2
    assert (await bus.first_id(A), await bus.last_id(A)) == (START, ids[3])


async def test_known_streams(bus: Bus) -> None:
    """Registered streams are known before their first entry, and no longer once they are forgotten or have run out."""
    await bus.register_stream(A, recorded=True)
    await bus.register_stream(A, recorded=True)
    await bus.register_stream(B, recorded=False)
    assert await bus.streams() == [A, B]
    await bus.forget_stream(A)
    assert await bus.streams() == [B]
    await bus.append(B, b"x")
    await bus.expire_stream(B, ttl_ms=20)

    async def gone() -> bool:
        return await bus.streams() == []

    await wait_until(gone)
    assert await raws(bus, B) == []


async def test_the_group_gets_each_entry_once(bus: Bus, reader: Reader) -> None:
    """A recorded stream is read from its beginning, and by one consumer each entry."""
    await bus.register_stream(A, recorded=True)
    ids = [await bus.append(A, b"%d" % n) for n in range(3)]
    first = await reader.read_group([A], "one", count=2, block_ms=0)
    second = await reader.read_group([A], "two", count=9, block_ms=0)
    assert [[e.id for e in got] for got in (first, second)] == [ids[:2], ids[2:]]
    assert await reader.read_group([A], "one", count=9, block_ms=10) == []


async def test_the_group_waits_for_entries(bus: Bus, reader: Reader) -> None:
    """A blocked group read wakes with an append to any of its streams."""
    for stream in (A, B):
        await bus.register_stream(stream, recorded=True)
    waiting = asyncio.create_task(reader.read_group([A, B], "one", count=5, block_ms=5000))
    await asyncio.sleep(0.02)
    await bus.append(B, b"x")
    got = await waiting or await reader.read_group([A, B], "one", count=5, block_ms=0)  # fakeredis wakes empty-handed
    assert [e.raw for e in got] == [b"x"]


async def test_unconfirmed_entries_are_claimed(bus: Bus, reader: Reader) -> None:
    """What a dead consumer has taken goes to another one, unless it is confirmed or was trimmed."""
    await bus.register_stream(A, recorded=True)
    ids = [await bus.append(A, b"%d" % n) for n in range(4)]
    await reader.read_group([A], "dead", count=9, block_ms=0)
    await bus.acknowledge(A, ids[1:2])
    await bus.trim_stream(A, ids[1], max_age_ms=-1000)
    assert await bus.claim(A, "two", idle_ms=60_000, count=9) == []

    async def claimed() -> bool:
        return [e.id for e in await bus.claim(A, "two", idle_ms=0, count=9)] == ids[2:]

    await wait_until(claimed)
    await bus.acknowledge(A, ids[2:])
    assert (await bus.lag(A)).pending == 0


async def test_claiming_without_a_group_is_empty(bus: Bus) -> None:
    """A stream without a group, or none at all, has nothing to claim and no lag."""
    await bus.append(A, b"x")
    assert await bus.claim(A, "one", idle_ms=0, count=9) == []
    assert await bus.claim(B, "one", idle_ms=0, count=9) == []
    assert [(lag.entries, lag.pending, lag.oldest_ms) for lag in (await bus.lag(A), await bus.lag(B))] == [
        (None, 0, 0)
    ] * 2


async def test_lag(bus: Bus, reader: Reader) -> None:
    """Lag counts what was not delivered and what was not confirmed; its age is that of the oldest of both."""
    await bus.register_stream(A, recorded=True)
    ids = [await bus.append(A, b"%d" % n) for n in range(3)]
    await reader.read_group([A], "one", count=2, block_ms=0)
    await asyncio.sleep(0.01)
    lag = await bus.lag(A)
    assert (lag.stream, lag.entries, lag.pending) == (A, 1, 2)
    assert 10 <= lag.oldest_ms < 10_000
    await reader.read_group([A], "one", count=2, block_ms=0)
    await bus.acknowledge(A, ids)
    assert ((await bus.lag(A)).entries, (await bus.lag(A)).pending, (await bus.lag(A)).oldest_ms) == (0, 0, 0)


async def test_trimming_waits_for_the_group(bus: Bus, reader: Reader) -> None:
    """What activity has not confirmed stays, unless it is older than the bound."""
    await bus.register_stream(A, recorded=True)
    ids = [await bus.append(A, b"%d" % n) for n in range(4)]
    assert await bus.trim_stream(A, ids[3], max_age_ms=HOUR_MS) == 0
    await reader.read_group([A], "one", count=3, block_ms=0)
    await bus.acknowledge(A, ids[:1])
    assert await bus.trim_stream(A, ids[3], max_age_ms=HOUR_MS) == 1
    assert await bus.trim_stream(A, ids[3], max_age_ms=-1000) == 2
    assert await raws(bus, A) == [b"3"]


async def test_a_deleted_group_is_made_again(backend: Backend, reader: Reader) -> None:
    """A stream that lost its group is read from its beginning; one that is gone does not spoil the others."""
    bus = backend.bus
    await bus.register_stream(A, recorded=False)
    await bus.append(A, b"x")
    assert [e.raw for e in await reader.read_group([A, B], "one", count=5, block_ms=10)] == [b"x"]
    if backend.features.nogroup:
        assert await reader.read_group([B], "one", count=5, block_ms=10) == []
    assert await raws(bus, B) == []


async def test_close_ends_blocked_reads(backend: Backend) -> None:
    """Closing twice, and while a read waits, does no harm: the read ends with a typed error."""
    async with backend.other.reader() as reader:
        waiting = asyncio.create_task(reader.read({A: START}, block_ms=1000))
        await asyncio.sleep(0.05)
        await backend.other.close()
        await backend.other.close()
        with pytest.raises(BusError):
            await waiting
        with pytest.raises(BusUnavailable):
            await reader.read({A: START}, block_ms=10)
