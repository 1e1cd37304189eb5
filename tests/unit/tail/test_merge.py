"""Joining pages of several streams in one order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from luthien_stream.bus.ids import order
from luthien_stream.bus.port import START, Entry
from luthien_stream.tail.merge import Merge

PAGE = 3


class Log:
    """Streams of numbered entries, read page by page as a bus does."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.at: dict[str, str] = dict.fromkeys("abc", START)

    def read(self, skip: set[str]) -> list[Entry]:
        """One page of each stream but those to skip."""
        found: list[Entry] = []
        for stream in self.at.keys() - skip:
            rest = [e for e in self.entries if e.stream == stream and order(e.id) > order(self.at[stream])]
            found += rest[:PAGE]
            self.at[stream] = rest[:PAGE][-1].id if rest else self.at[stream]
        return found


def written(streams: list[str], per_ms: int, first: int = 1) -> list[Entry]:
    """An entry for each, several in a millisecond, each stream with a sequence of its own as a server has it."""
    seen: dict[tuple[str, int], int] = {}
    entries = []
    for i, stream in enumerate(streams):
        ms = first + i // per_ms
        sequence = seen[stream, ms] = seen.get((stream, ms), -1) + 1
        entries.append(Entry(stream, f"{ms}-{sequence}", b""))
    return entries


def by_ms(entries: list[Entry]) -> list[tuple[int, str, str]]:
    """What has one order only up to the millisecond."""
    return sorted((order(entry.id)[0], entry.stream, entry.id) for entry in entries)


@given(st.lists(st.sampled_from("abc"), max_size=60), st.integers(1, 12))
def test_pages_are_joined_in_order(streams: list[str], per_ms: int) -> None:
    """However entries are spread over streams, all come out once, each millisecond whole and after those before it."""
    entries = written(streams, per_ms)
    log, merge, out = Log(entries), Merge(PAGE), list[Entry]()
    for _ in range(2 * len(entries) + 2):
        out += merge.add(log.read(merge.ahead))
    assert by_ms(out) == by_ms(entries)
    milliseconds = [order(entry.id)[0] for entry in out]
    assert milliseconds == sorted(milliseconds)
    assert not merge.ahead
    assert not merge.waiting


@given(st.lists(st.lists(st.sampled_from("abc"), max_size=8), max_size=20), st.data())
def test_a_millisecond_that_is_still_written_is_not_given_out(rounds: list[list[str]], data: st.DataObject) -> None:
    """A read in the middle of a millisecond gives nothing of it away: what comes later in it may belong before."""
    log, merge, out = Log([]), Merge(PAGE), list[Entry]()
    for ms, streams in enumerate(rounds, 1):
        mine = written(streams, len(streams) or 1, ms)
        middle = data.draw(st.integers(0, len(mine)))
        log.entries += mine[:middle]
        given_out = merge.add(log.read(merge.ahead))
        assert all(order(entry.id)[0] < ms for entry in given_out)
        out += given_out
        log.entries += mine[middle:]
    for _ in range(2 * len(log.entries) + 2):
        out += merge.add(log.read(merge.ahead))
    assert by_ms(out) == by_ms(log.entries)
    milliseconds = [order(entry.id)[0] for entry in out]
    assert milliseconds == sorted(milliseconds)


@given(st.lists(st.sampled_from("aaaaabc"), max_size=200), st.integers(1, 5))
def test_no_more_than_a_page_beside_one_millisecond_waits(streams: list[str], per_ms: int) -> None:
    """What a reader holds is bounded, however much is kept and however uneven its streams are."""
    log, merge = Log(written(streams, per_ms)), Merge(PAGE)
    for _ in range(len(streams) + 2):
        merge.add(log.read(merge.ahead))
        for stream in "abc":
            assert sum(entry.stream == stream for entry in merge.waiting) < 2 * PAGE + per_ms


def test_a_millisecond_of_more_than_a_page_is_read_to_its_end() -> None:
    """It cannot be given out before, so waiting for other streams would never end."""
    entries = written(["a"] * 20 + ["b"] * 20, 40)
    log, merge, out = Log(entries), Merge(PAGE), list[Entry]()
    for _ in range(12):
        out += merge.add(log.read(merge.ahead))
    assert by_ms(out) == by_ms(entries)
