"""The outbox over the memory bus, with writes that fail in every way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from luthien_stream.bus.memory import MemoryBus
from luthien_stream.bus.outbox import KEPT_BYTES, ROOM_BYTES, Outbox
from luthien_stream.events.log import ChunkReceived
from luthien_stream.events.pack import decode
from tests.faulty import Fault, FaultyBus
from tests.wait import wait_until

STREAM = "ls:{main@1:0}:in"


def chunk(n: int, size: int = 20, call: str = "call") -> ChunkReceived:
    """An event of a call."""
    return ChunkReceived(call=call, n=n, time=1, frame=b"x" * size)


@asynccontextmanager
async def running(bus: Any, lost: set[str] | None = None, **options: Any) -> AsyncIterator[Outbox]:
    """An outbox whose loop runs; it is closed at the end."""
    outbox = Outbox(bus, STREAM, "edge:e", on_lost=(set() if lost is None else lost).update, **options)
    task = asyncio.create_task(outbox.run())
    yield outbox
    await outbox.close(1)
    await task


async def entries(bus: MemoryBus, count: int) -> bool:
    """Whether the stream has this many entries."""
    return len(await bus.range(STREAM, "0-0")) == count


async def written(bus: MemoryBus) -> list[list[int]]:
    """The ordinals in the stream, entry by entry."""
    return [[event.n for event in decode(entry.raw).events] for entry in await bus.range(STREAM, "0-0")]


def accepted(packs: list[list[int]]) -> list[int]:
    """What a stage takes: only the next ordinal."""
    taken: list[int] = []
    for n in (n for pack in packs for n in pack):
        if n == len(taken):
            taken.append(n)
    return taken


async def test_an_idle_outbox_writes_at_once() -> None:
    """Each event that comes alone is an entry of its own, with the source in the pack."""
    bus = MemoryBus()
    async with running(bus) as outbox:
        for n in range(3):
            outbox.put(chunk(n))
            await wait_until(partial(entries, bus, n + 1))
    assert await written(bus) == [[0], [1], [2]]
    assert decode((await bus.range(STREAM, "0-0"))[0].raw).src == "edge:e"


async def test_a_patient_event_leaves_with_the_next_one() -> None:
    """Or alone, when its patience is over."""
    bus = MemoryBus()
    async with running(bus, patience_s=60) as outbox:
        outbox.put(chunk(0), patient=True)
        for _ in range(10):
            await asyncio.sleep(0)  # every task has its turn
        assert await written(bus) == []
        outbox.put(chunk(1))
        await wait_until(partial(entries, bus, 1))
    async with running(bus) as outbox:
        outbox.put(chunk(2), patient=True)
        await wait_until(partial(entries, bus, 2))
    assert await written(bus) == [[0, 1], [2]]


async def test_closing_ends_all_patience() -> None:
    """Nothing is lost that waited for company."""
    bus = MemoryBus()
    async with running(bus, patience_s=60) as outbox:
        outbox.put(chunk(0), patient=True)
    assert await written(bus) == [[0]]


async def test_what_arrives_together_leaves_together() -> None:
    """Packs hold at most `max_events` events and, but for a single event, at most `max_bytes`."""
    bus = MemoryBus()
    async with running(bus, max_events=4, max_bytes=1000) as outbox:
        for n in range(6):
            outbox.put(chunk(n))
        for n in range(6, 9):
            outbox.put(chunk(n, size=950))
    assert await written(bus) == [[0, 1, 2, 3], [4, 5], [6], [7], [8]]


async def test_an_ambiguous_write_is_repeated_before_anything_newer() -> None:
    """Whether or not the write was executed, what a stage accepts is whole and in order."""
    for fault in ("refused", "dropped", "reply_lost", "late"):
        faulty = FaultyBus(inner := MemoryBus())
        faulty.fail("append", fault, times=2)
        async with running(faulty.bus, max_events=2) as outbox:
            for n in range(6):
                outbox.put(chunk(n))
        await faulty.run_late()
        assert accepted(await written(inner)) == list(range(6)), fault


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["", "refused", "dropped", "reply_lost", "late"]), max_size=4))
def test_no_order_of_faults_loses_or_swaps_an_event(faults: list[Fault]) -> None:
    """Any sequence of faults leaves one whole copy for a reader that drops what it knows."""

    async def scenario() -> list[list[int]]:
        plan = iter(faults)
        faulty = FaultyBus(inner := MemoryBus(), lambda method: next(plan, "") if method == "append" else "")
        async with running(faulty.bus, max_events=1) as outbox:
            for n in range(4):
                outbox.put(chunk(n))
        await faulty.run_late()
        return await written(inner)

    assert accepted(asyncio.run(scenario())) == [0, 1, 2, 3]


async def test_past_the_deadline_the_calls_are_lost_and_newer_ones_go_on() -> None:
    """The calls of a pack that cannot be written are named once; what comes later is written again."""
    lost: set[str] = set()
    faulty = FaultyBus(inner := MemoryBus(), lambda method: "refused" if not lost and method == "append" else "")
    async with running(faulty.bus, lost, publish_deadline_s=0.1) as outbox:
        outbox.put(chunk(0, call="a"))
        outbox.put(chunk(0, call="b"))
        await wait_until(lambda: bool(lost))
        outbox.put(chunk(0, call="c"))
    assert lost == {"a", "b"}
    assert [event.call for event in decode((await inner.range(STREAM, "0-0"))[0].raw).events] == ["c"]


async def test_a_full_server_is_waited_for() -> None:
    """`BusFull` is repeated like any failed write, with pauses that grow."""
    bus = MemoryBus(maxmemory=10)
    await bus.append("other", b"x" * 10)
    async with running(bus) as outbox:
        outbox.put(chunk(0))
        await asyncio.sleep(0)
        bus.maxmemory = 0
    assert await written(bus) == [[0]]


async def test_a_restarted_server_gets_the_last_packs_again() -> None:
    """After a write that fails on a server with another run id, the kept packs go first and in order."""
    faulty = FaultyBus(inner := MemoryBus())
    async with running(faulty.bus) as outbox:
        outbox.put(chunk(0))
        await wait_until(partial(entries, inner, 1))
        disk = inner.snapshot()
        outbox.put(chunk(1))
        await wait_until(partial(entries, inner, 2))
        inner.restart(forget_to=disk)
        faulty.fail("append", "dropped")
        outbox.put(chunk(2))
    assert await written(inner) == [[0], [0], [1], [2]]


async def test_resend_repeats_what_an_idle_outbox_has_kept() -> None:
    """Whoever notices the restart first may ask for it; nothing newer is needed."""
    bus = MemoryBus()
    async with running(bus) as outbox:
        outbox.put(chunk(0))
        await wait_until(partial(entries, bus, 1))
        bus.restart(forget_to=MemoryBus().snapshot())
        outbox.resend()
    assert await written(bus) == [[0]]


async def test_kept_packs_are_let_go() -> None:
    """A pack confirmed more than `keep_s` before a newer one is not written again."""
    bus = MemoryBus()
    async with running(bus, keep_s=0.02) as outbox:
        outbox.put(chunk(0))
        await wait_until(partial(entries, bus, 1))
        await asyncio.sleep(0.03)
        outbox.put(chunk(1))
        await wait_until(partial(entries, bus, 2))
        outbox.resend()
    assert await written(bus) == [[0], [1], [1]]


async def test_no_more_is_kept_than_its_bound() -> None:
    """Of packs that are more than `KEPT_BYTES` together only the last ones are written again."""
    bus = MemoryBus()
    large = KEPT_BYTES // 3
    async with running(bus) as outbox:
        for n in range(5):
            outbox.put(chunk(n, large))
            await wait_until(partial(entries, bus, n + 1))
        bus.restart(forget_to=MemoryBus().snapshot())
        outbox.resend()
    assert await written(bus) == [[3], [4]]


async def test_room_waits_for_a_slow_server() -> None:
    """More than 4 MiB that are not confirmed hold the producer back."""
    faulty = FaultyBus(MemoryBus(), lambda method: "")
    faulty.fail("append", "refused", times=2)
    async with running(faulty.bus) as outbox:
        outbox.put(chunk(0, size=ROOM_BYTES + 1))
        waiting = asyncio.create_task(outbox.room())
        await asyncio.sleep(0)
        assert not waiting.done()
        await waiting


async def test_close_gives_up_after_its_deadline() -> None:
    """A server that does not come back cannot hold a process that shuts down; the calls are named."""
    lost: set[str] = set()
    faulty = FaultyBus(MemoryBus(), lambda method: "refused" if method == "append" else "")
    outbox = Outbox(faulty.bus, STREAM, "edge:e", on_lost=lost.update)
    task = asyncio.create_task(outbox.run())
    outbox.put(chunk(0))
    await outbox.close(0.05)
    await task
    assert lost == {"call"}


async def test_many_writes_a_second_wait_for_company() -> None:
    """Above some 500 writes a second, events that trickle in share entries."""
    bus = MemoryBus()
    async with running(bus, linger_s=0.002) as outbox:
        for n in range(400):
            outbox.put(chunk(n))
            await asyncio.sleep(0)
    assert len(await written(bus)) < 100
