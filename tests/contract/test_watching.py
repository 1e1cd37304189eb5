"""Watching the log on every bus: coming back to the place where one was, and being told what is missing."""

from __future__ import annotations

import time
from contextlib import aclosing
from itertools import count

import pytest

from luthien_stream.bus.ids import following, order
from luthien_stream.bus.port import Bus
from luthien_stream.events.log import ChunkReceived
from luthien_stream.events.pack import encode
from luthien_stream.tail.place import BadMark, resume
from luthien_stream.tail.positions import Gap
from luthien_stream.tail.reading import Pause
from luthien_stream.tail.wanted import Wanted
from luthien_stream.tail.watching import Shown, Undecided, Watching
from tests.wait import wait_until

A, B, C = "ls:{a}:inbox", "ls:{b}:inbox", "ls:{c-1}:inbox"
HOUR_MS = 3_600_000
PLACE = "1795698412702-1795698412691561-000000-0000-ls:{a}:inbox"


class Log:
    """Writes numbered events into streams, several in an entry."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self._numbers = count()

    async def write(self, stream: str, entries: int, events: int = 1) -> list[str]:
        """Append; return the ids of the entries."""
        await self.bus.register_stream(stream, recorded=False)
        return [await self.bus.append(stream, encode("edge:e1", self._events(events))) for _ in range(entries)]

    async def write_apart(self, stream: str, entries: int) -> list[str]:
        """The same, each in a millisecond of its own."""
        ids: list[str] = []
        for _ in range(entries):
            ids += await self.write(stream, 1)
            ms = order(ids[-1])[0]
            await wait_until(lambda ms=ms: time.time_ns() // 1_000_000 > ms)  # type: ignore[misc]
        return ids

    def _events(self, number: int) -> list[ChunkReceived]:
        return [ChunkReceived(call="c", n=next(self._numbers), frame=b"") for _ in range(number)]


class Watcher:
    """Watches until it has seen enough, and keeps the mark of each event."""

    def __init__(self, bus: Bus, *, since: int | None = None, mark: str = "", wanted: Wanted | None = None) -> None:
        self.watching = Watching(bus, wanted or Wanted(), since=since, resume=resume(mark) if mark else None, page=4)
        self._events = self.watching.events()
        self.gaps: list[Gap] = []
        self.undecided: list[str] = []
        self.marks: list[str] = []
        self.seen: list[int] = []

    async def see(self, number: int) -> list[int]:
        """The ordinals of that many more events."""
        before = len(self.seen)
        while len(self.seen) < before + number:
            await self.look()
        return self.seen[before:]

    async def look(self) -> bool:
        """Take one thing; return whether it was an event."""
        match await anext(self._events):
            case Shown(seen, _):
                self.seen.append(seen.event.n)
                self.marks.append(str(self.watching.mark()))
                return True
            case Gap() as gap:
                self.gaps.append(gap)
            case Undecided(call):
                self.undecided.append(call)
        return False

    async def quiet(self) -> None:
        """Look at the log so often that all that is there has come."""
        for _ in range(5):
            while not isinstance(each := await anext(self._events), Pause):
                assert not isinstance(each, Shown)

    async def end(self) -> None:
        """Leave."""
        await self._events.aclose()


async def test_a_watch_resumes_behind_any_event(bus: Bus) -> None:
    """Also in the middle of an entry: what comes is what an unbroken watch would have seen, once and in that order."""
    log = Log(bus)
    for stream, entries, events in [(A, 3, 2), (B, 2, 1), (C, 2, 3), (A, 1, 1)]:
        await log.write(stream, entries, events)
    first = Watcher(bus, since=0)
    whole = await first.see(6 + 2 + 6 + 1)
    await first.end()
    assert sorted(whole) == list(range(15))
    for position, mark in enumerate(first.marks[:-1]):
        again = Watcher(bus, mark=mark)
        assert await again.see(len(whole) - position - 1) == whole[position + 1 :], mark
        assert again.gaps == []
        await again.end()
    assert first.marks == sorted(first.marks), "as text, ids have the order of events"


async def test_what_was_trimmed_meanwhile_is_counted(bus: Bus) -> None:
    """Exactly, by stream, also for one that did not exist before; what was read before is not."""
    log = Log(bus)
    ids = await log.write(A, 5)
    first = Watcher(bus, since=0)
    await first.see(5)
    await first.end()
    ids += await log.write(A, 4)
    ids_of_b = await log.write(B, 3)
    await bus.trim_stream(A, ids[7], max_age_ms=HOUR_MS)
    await bus.trim_stream(B, ids_of_b[2], max_age_ms=HOUR_MS)
    again = Watcher(bus, mark=first.marks[2])
    await again.see(3)
    assert sorted((gap.stream, gap.before, gap.entries) for gap in again.gaps) == [(A, ids[7], 4), (B, ids_of_b[2], 2)]
    assert sorted(again.seen) == [7, 8, 11]
    await again.end()
    unbroken = Watcher(bus, mark=again.marks[0])
    await unbroken.see(2)
    assert unbroken.gaps == []
    await unbroken.end()


async def test_a_slow_watch_is_told_what_it_has_missed(bus: Bus) -> None:
    """The log is its buffer: what is trimmed before it has come so far is one gap, and it goes on behind it."""
    log = Log(bus)
    watch = Watcher(bus, since=0)
    ids = await log.write_apart(A, 40)
    held = await watch.see(1)
    await bus.trim_stream(A, ids[30], max_age_ms=HOUR_MS)
    while 39 not in watch.seen:
        await watch.look()
    assert watch.seen == sorted(watch.seen)
    assert sum(gap.entries or 0 for gap in watch.gaps) == 40 - len(watch.seen)
    assert held == [0]
    assert 0 < len(watch.gaps) <= 2
    await watch.end()


async def test_a_stream_trimmed_to_nothing_leaves_a_gap(bus: Bus) -> None:
    """Although no entry of it is left to be read."""
    log = Log(bus)
    await log.write(A, 1)
    watch = Watcher(bus, since=0)
    await watch.see(1)
    ids = await log.write(A, 3)
    await bus.trim_stream(A, following(ids[-1]), max_age_ms=HOUR_MS)
    while not watch.gaps:
        await watch.look()
    assert [(gap.entries, gap.before) for gap in watch.gaps] == [(3, "0-0")]
    await log.write(A, 1)
    assert await watch.see(1) == [4]
    await watch.end()


async def test_a_vanished_stream_leaves_a_gap_without_a_number(bus: Bus) -> None:
    """Whoever was away cannot be told how much it had."""
    log = Log(bus)
    await log.write(A, 2)
    await log.write(B, 1)
    first = Watcher(bus, since=0)
    await first.see(3)
    await first.end()
    await bus.forget_stream(B)
    again = Watcher(bus, mark=first.marks[-1])
    while not again.gaps:
        await again.look()
    assert [(gap.stream, gap.entries) for gap in again.gaps] == [("", None)]
    await again.end()


async def test_from_now_on_is_from_now_on(bus: Bus) -> None:
    """Without a mark and a time nothing of the past is shown, also where the past is read for a filter."""
    log = Log(bus)
    await log.write(A, 3)
    for wanted in (Wanted(), Wanted(model="m-*")):
        watch = Watcher(bus, wanted=wanted)
        await watch.quiet()
        assert watch.watching.mark() is None
        await watch.end()


async def test_a_filter_says_of_which_calls_it_cannot_tell(bus: Bus) -> None:
    """Once a call."""
    log = Log(bus)
    watch = Watcher(bus, since=0, wanted=Wanted(model="m-*"))
    await log.write(A, 3)
    while not watch.undecided:
        await watch.look()
    await watch.quiet()
    assert (watch.undecided, watch.seen) == (["c"], [])
    await watch.end()


@pytest.mark.parametrize(
    "text", ["", "x", "1-2-3", "1-2-3-4-s~", PLACE, f"{PLACE}~zz", f"{PLACE}~abcdef-5", f"{PLACE}~abcdefg"]
)
def test_what_is_no_mark_is_refused(text: str) -> None:
    """With the text."""
    with pytest.raises(BadMark, match="no id of an event"):
        resume(text)


async def test_reading_ends_when_it_is_left(bus: Bus) -> None:
    """At any moment, with its connection."""
    await Log(bus).write(A, 3)
    async with aclosing(Watching(bus, Wanted(), since=0).events()) as events:
        assert isinstance(await anext(events), Shown | Pause)
