"""Live reading: order, seams, streams that come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthien_stream.bus.ids import order
from luthien_stream.bus.memory import MemoryBus
from luthien_stream.bus.port import START, Entry
from luthien_stream.events.log import ChunkReceived
from luthien_stream.events.pack import encode
from luthien_stream.tail.reading import Merge, Seen, before, read_log
from tests.wait import wait_until

PAGE = 3


class Log:
    """Streams of numbered entries, read page by page as a bus does."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.at: dict[str, str] = dict.fromkeys((entry.stream for entry in entries), START)

    def read(self, skip: set[str]) -> list[Entry]:
        """One page of each stream but those to skip."""
        found: list[Entry] = []
        for stream in self.at.keys() - skip:
            rest = [e for e in self.entries if e.stream == stream and order(e.id) > order(self.at[stream])]
            found += rest[:PAGE]
            self.at[stream] = rest[:PAGE][-1].id if rest else self.at[stream]
        return found


@given(st.lists(st.sampled_from("abc"), max_size=60))
def test_pages_are_joined_in_order(streams: list[str]) -> None:
    """However entries are spread over streams, all come out once and in the order of their ids."""
    entries = [Entry(stream, f"{i // 2 + 1}-{i % 2}", b"") for i, stream in enumerate(streams)]
    log, merge, out = Log(entries), Merge(PAGE), list[Entry]()
    for _ in range(2 * len(entries) + 2):
        out += merge.add(log.read(merge.ahead))
    assert out == entries
    assert not merge.ahead


@given(st.lists(st.sampled_from("abc"), max_size=40), st.lists(st.sampled_from("abc"), max_size=40))
def test_entries_that_come_while_reading_stay_in_order(first: list[str], then: list[str]) -> None:
    """What is appended between two reads comes after what was there."""
    entries = [Entry(stream, f"{i + 1}-0", b"") for i, stream in enumerate([*"abc", *first, *then])]
    log, merge, out = Log(entries[: 3 + len(first)]), Merge(PAGE), list[Entry]()
    for entry in [*entries[3 + len(first) :], *[None] * 2 * len(entries)]:
        out += merge.add(log.read(merge.ahead))
        log.entries += [entry] if entry else []
    assert out == entries


def test_a_time_is_a_position() -> None:
    """Reading after the position begins with the entries of that millisecond."""
    assert order(before(5_000_000)) < order("5000-0")
    assert order("4999-7") < order(before(5_000_000))
    assert before(0) == START


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    """A log with one stream, where each look at the clock is a millisecond later."""
    milliseconds = count(1_790_000_000_000)
    bus = MemoryBus(clock=lambda: next(milliseconds) * 1000)
    await bus.register_stream("a", recorded=True)
    yield bus
    await bus.close()


async def append(bus: MemoryBus, stream: str, *numbers: int) -> None:
    """One entry with these ordinals."""
    await bus.append(stream, encode("edge:e1", [ChunkReceived(call="c", n=n, frame=b"x") for n in numbers]))


class Follower:
    """Reads in the background and keeps what it saw."""

    def __init__(self, bus: MemoryBus, since: int | None) -> None:
        self.seen: list[Seen] = []
        self._log = read_log(bus, since=since)
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with aclosing(self._log) as events:
            async for seen in events:
                self.seen.append(seen)

    async def saw(self, *numbers: int) -> None:
        """Wait until these ordinals, and no others, have come in this order."""
        await wait_until(lambda: len(self.seen) >= len(numbers), timeout=5)
        assert [seen.event.n for seen in self.seen] == list(numbers)

    async def end(self) -> None:
        """Stop reading."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def test_without_following_the_kept_log_is_read_to_its_end(bus: MemoryBus) -> None:
    """All streams, joined in the order they were written, and then the end."""
    await bus.register_stream("b", recorded=True)
    for n in range(600):
        await append(bus, "ab"[n % 2], n)
    seen = [seen.event.n async for seen in read_log(bus, since=0, follow=False)]
    assert seen == list(range(600))


async def test_the_seam_between_kept_and_live_has_no_hole_and_no_repeat(bus: MemoryBus) -> None:
    """What is written while the past is read comes once, after it."""
    await append(bus, "a", 0, 1)
    follower = Follower(bus, since=0)
    await append(bus, "a", 2)
    await follower.saw(0, 1, 2)
    await append(bus, "a", 3)
    await follower.saw(0, 1, 2, 3)
    await follower.end()


async def test_from_now_the_past_is_not_shown_and_new_streams_are_whole(bus: MemoryBus) -> None:
    """A stream that appears while following is read from its first entry, within a second."""
    await append(bus, "a", 0)
    follower = Follower(bus, since=None)

    async def began() -> bool:
        await append(bus, "a", 1)
        return bool(follower.seen)

    await wait_until(began)
    await bus.register_stream("b", recorded=True)
    await append(bus, "b", 2)
    await append(bus, "b", 3)
    await wait_until(lambda: follower.seen[-1].event.n == 3, timeout=1.5)
    assert [seen.event.n for seen in follower.seen if seen.event.n != 1] == [2, 3]
    await follower.end()


async def test_a_restart_of_the_log_is_waited_out(bus: MemoryBus) -> None:
    """Following goes on where it was."""
    await append(bus, "a", 0)
    follower = Follower(bus, since=0)
    await follower.saw(0)
    bus.restart()
    await append(bus, "a", 1)
    await follower.saw(0, 1)
    await follower.end()


async def test_an_entry_that_is_no_pack_is_passed_over(bus: MemoryBus) -> None:
    """It is the dead letters' business, not the reader's."""
    await bus.append("a", b"junk")
    await append(bus, "a", 1)
    assert [seen.event.n async for seen in read_log(bus, since=0, follow=False)] == [1]


async def test_within_a_millisecond_the_times_of_events_decide() -> None:
    """Ids of two streams cannot be compared there, and nobody wants to see an answer before its question."""
    bus = MemoryBus(clock=lambda: 1_790_000_000_000_000)
    for stream, src, n in (("a", "stage:s", 2), ("b", "edge:e1", 1), ("b", "edge:e1", 3)):
        await bus.register_stream(stream, recorded=True)
        await bus.append(stream, encode(src, [ChunkReceived(call="c", n=n, time=1_790_000_000_000_000 + n, frame=b"")]))
    assert [seen.event.n async for seen in read_log(bus, since=0, follow=False)] == [1, 2, 3]
    await bus.close()
