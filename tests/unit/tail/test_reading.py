"""Live reading: order, seams, gaps, streams that come and go, coming back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from itertools import count

import pytest

from luthien_stream.bus.memory import MemoryBus
from luthien_stream.bus.port import Span
from luthien_stream.errors import BusUnavailable
from luthien_stream.events.log import ChunkReceived
from luthien_stream.events.pack import encode
from luthien_stream.tail import reading
from luthien_stream.tail.positions import Gap
from luthien_stream.tail.reading import Reading, Seen
from tests.wait import wait_until


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    """A log with one stream, where each look at the clock is a millisecond later."""
    milliseconds = count(1_790_000_000_000)
    bus = MemoryBus(clock=lambda: next(milliseconds) * 1000)
    await bus.register_stream("a", recorded=True)
    yield bus
    await bus.close()


async def numbers(bus: MemoryBus, *, past: bool = True) -> list[int]:
    """The ordinals of all that is kept, in the order in which they are read."""
    async with aclosing(Reading(bus, past=past, follow=False).events()) as events:
        return [each.event.n async for each in events if isinstance(each, Seen)]


async def append(bus: MemoryBus, stream: str, *numbers: int) -> None:
    """One entry with these ordinals."""
    await bus.append(stream, encode("edge:e1", [ChunkReceived(call="c", n=n, frame=b"x") for n in numbers]))


class Follower:
    """Reads in the background and keeps what it saw."""

    def __init__(self, bus: MemoryBus, *, past: bool) -> None:
        self.seen: list[Seen] = []
        self.gaps: list[Gap] = []
        self.reading = Reading(bus, past=past)
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with aclosing(self.reading.events()) as events:
            async for each in events:
                if isinstance(each, Seen):
                    self.seen.append(each)
                elif isinstance(each, Gap):
                    self.gaps.append(each)

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
    assert await numbers(bus) == list(range(600))


async def test_the_seam_between_kept_and_live_has_no_hole_and_no_repeat(bus: MemoryBus) -> None:
    """What is written while the past is read comes once, after it."""
    await append(bus, "a", 0, 1)
    follower = Follower(bus, past=True)
    await append(bus, "a", 2)
    await follower.saw(0, 1, 2)
    await append(bus, "a", 3)
    await follower.saw(0, 1, 2, 3)
    await follower.end()


async def test_from_now_the_past_is_not_shown_and_new_streams_are_whole(bus: MemoryBus) -> None:
    """A stream that appears while following is read from its first entry, within a second."""
    await append(bus, "a", 0)
    follower = Follower(bus, past=False)

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
    follower = Follower(bus, past=True)
    await follower.saw(0)
    bus.restart()
    await append(bus, "a", 1)
    await follower.saw(0, 1)
    await follower.end()


async def test_an_entry_that_is_no_pack_is_passed_over(bus: MemoryBus) -> None:
    """It is the dead letters' business, not the reader's."""
    await bus.append("a", b"junk")
    await append(bus, "a", 1)
    assert await numbers(bus) == [1]


async def test_within_a_millisecond_the_times_of_events_decide() -> None:
    """Ids of two streams cannot be compared there, and nobody wants to see an answer before its question."""
    bus = MemoryBus(clock=lambda: 1_790_000_000_000_000)
    for stream, src, n in (("a", "stage:s", 2), ("b", "edge:e1", 1), ("b", "edge:e1", 3)):
        await bus.register_stream(stream, recorded=True)
        await bus.append(stream, encode(src, [ChunkReceived(call="c", n=n, time=1_790_000_000_000_000 + n, frame=b"")]))
    assert await numbers(bus) == [1, 2, 3]
    await bus.close()


async def test_what_is_trimmed_between_looking_and_reading_is_counted() -> None:
    """However unlucky the moment: what was read and what was missed are all there is."""

    class Unlucky(MemoryBus):
        """Trims right after each of the first looks."""

        def __init__(self) -> None:
            super().__init__(clock=lambda: next(milliseconds) * 1000)
            self.cuts = [20, 40]

        async def spans(self, streams: Sequence[str]) -> dict[str, Span]:
            found = await super().spans(streams)
            if self.cuts and "a" in streams:
                await self.trim_stream("a", ids[self.cuts.pop(0)], max_age_ms=3_600_000)
            return found

    milliseconds = count(1_790_000_000_000)
    bus, ids = Unlucky(), list[str]()
    await bus.register_stream("a", recorded=False)
    for n in range(60):
        ids.append(await bus.append("a", encode("edge:e1", [ChunkReceived(call="c", n=n, frame=b"")])))
    follower = Follower(bus, past=True)
    await follower.saw(*range(40, 60))
    assert sum(gap.entries or 0 for gap in follower.gaps) == 40
    assert follower.gaps[-1].before == ids[40]
    await follower.end()
    await bus.close()


async def test_a_gap_that_was_found_before_an_outage_is_told_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log stops to answer between the look that found it and the reading."""

    class Failing(MemoryBus):
        """Answers no look at a stream that has just been read, once, after a gap was found."""

        def __init__(self) -> None:
            super().__init__(clock=lambda: next(milliseconds) * 1000)
            self.looks = 0

        async def spans(self, streams: Sequence[str]) -> dict[str, Span]:
            self.looks += 1
            if self.looks == 4:
                raise BusUnavailable("away")
            found = await super().spans(streams)
            if self.looks == 1:
                await self.trim_stream("a", ids[2], max_age_ms=3_600_000)
            return found

    monkeypatch.setattr(reading, "RETRY_S", 0.01)
    milliseconds = count(1_790_000_000_000)
    bus, ids = Failing(), list[str]()
    await bus.register_stream("a", recorded=False)
    for n in range(4):
        ids.append(await bus.append("a", encode("edge:e1", [ChunkReceived(call="c", n=n, frame=b"")])))
    follower = Follower(bus, past=True)
    await follower.saw(2, 3)
    assert [gap.entries for gap in follower.gaps] == [2]
    assert bus.looks > 4
    await follower.end()
    await bus.close()


async def test_a_stream_keeps_its_order_whatever_times_its_events_tell() -> None:
    """A clock that is set back, or an event without a time, moves nothing before what was written before it."""
    now = 1_790_000_000_000_000
    bus = MemoryBus(clock=lambda: now)
    await bus.register_stream("a", recorded=True)
    for ordinals in ((1, 2), (3,)):
        events = [ChunkReceived(call="c", n=n, time=now - n if n < 3 else 0, frame=b"") for n in ordinals]
        await bus.append("a", encode("edge:e1", events))
    assert await numbers(bus) == [1, 2, 3]
    await bus.close()


async def test_an_entry_with_text_that_is_no_text_is_passed_over(bus: MemoryBus) -> None:
    """A stage in another language may write anything."""
    raw = encode("edge:e1", [ChunkReceived(call="broken", n=1, frame=b"x")]).replace(b"broken", b"brok\xff\xfe")
    await bus.append("a", raw)
    await append(bus, "a", 2)
    assert await numbers(bus) == [2]
