"""Joins pages of several streams in the order of their ids. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from luthien_stream.bus.ids import order
from luthien_stream.bus.port import Entry


class Merge:
    """Gives entries out a whole millisecond at a time, and only when no other stream can still have one of it.

    Beyond the end of a full page its stream may have more, and so may a stream that was not read because a page of it
    waits here. And within the newest millisecond any stream may still be written: what one read brought is given out
    with a later one, which must begin at least a millisecond after it.
    """

    def __init__(self, page: int) -> None:
        self.ahead: set[str] = set()
        """Streams of which a page waits for others: to read them on would only fill the memory."""
        self.waiting: list[Entry] = []
        self._page = page
        self._settled = 0

    def add(self, entries: Sequence[Entry]) -> list[Entry]:
        """Take what one read of all streams but those ahead brought; return what is next, in order."""
        waiting = sorted([*self.waiting, *entries], key=lambda entry: order(entry.id))
        more = self.ahead | {stream for stream, page in _by_stream(entries).items() if len(page) >= self._page}
        end = min((_ms(page[-1]) for stream, page in _by_stream(waiting).items() if stream in more), default=None)
        ready = [e for e in waiting if _ms(e) <= self._settled and (end is None or _ms(e) < end)]
        self._settled = max(self._settled, _ms(waiting[-1]) if waiting else 0)
        self.waiting = waiting[len(ready) :]
        self.ahead = {stream for stream, page in _by_stream(self.waiting).items() if self._is_ahead(page)}
        return ready

    def rest(self) -> list[Entry]:
        """Return all that waits: nothing more will be read."""
        rest, self.waiting, self.ahead = self.waiting, [], set()
        return rest

    def _is_ahead(self, page: list[Entry]) -> bool:
        """A millisecond of more than a page is read to its end: nothing of it can be given out before."""
        return len(page) >= self._page and _ms(page[0]) < _ms(page[-1])


def _by_stream(entries: Sequence[Entry]) -> dict[str, list[Entry]]:
    pages: dict[str, list[Entry]] = {}
    for entry in entries:
        pages.setdefault(entry.stream, []).append(entry)
    return pages


def _ms(entry: Entry) -> int:
    return order(entry.id)[0]
