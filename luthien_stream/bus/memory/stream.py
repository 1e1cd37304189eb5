"""One stream in memory, with the activity group that may read it. Plain data: no waiting, no clock of its own."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from msgspec import Struct, field

from luthien_stream.bus import ids
from luthien_stream.bus.limits import CLOSED_KEPT_MS
from luthien_stream.bus.port import START, Span

Id = tuple[int, int]
ZERO: Id = (0, 0)


class Delivery(Struct):
    """An entry that a consumer has taken and not confirmed."""

    consumer: str
    at: int
    """Milliseconds."""


class Group(Struct):
    """How far the activity group has come."""

    delivered: Id = ZERO
    pending: dict[Id, Delivery] = field(default_factory=dict)

    def confirmed(self) -> Id:
        """Every entry before this id is confirmed."""
        return min(self.pending, default=self.delivered)


class Stream(Struct):
    """Entries in order of their ids."""

    ids: list[Id] = field(default_factory=list)
    raws: list[bytes] = field(default_factory=list)
    last: Id = ZERO
    group: Group | None = None
    expires: int = 0
    """Milliseconds since 1970, 0 for never."""
    size: int = 0
    """Bytes of all entries."""
    trimmed: int = 0
    """How many entries were dropped."""

    def add(self, raw: bytes, now: int) -> str:
        """Append an entry at `now` (milliseconds) and return its id."""
        self.last = max((now, 0), (self.last[0], self.last[1] + 1))
        self.ids.append(self.last)
        self.raws.append(raw)
        self.size += len(raw)
        return ids.text(self.last)

    def after(self, position: Id, count: int, upto: Id | None = None) -> list[tuple[Id, bytes]]:
        """Return up to `count` entries with `position` < id <= `upto`."""
        start = bisect_right(self.ids, position)
        stop = len(self.ids) if upto is None else bisect_right(self.ids, upto)
        stop = min(stop, start + count)
        return list(zip(self.ids[start:stop], self.raws[start:stop], strict=True))

    def trim(self, before: Id) -> int:
        """Drop the entries before an id and return how many these were."""
        count = bisect_left(self.ids, before)
        self.size -= sum(len(raw) for raw in self.raws[:count])
        del self.ids[:count]
        del self.raws[:count]
        self.trimmed += count
        return count

    def span(self) -> Span:
        """What was added and what is kept."""
        first = ids.text(self.ids[0]) if self.ids else START
        return Span(self.trimmed + len(self.ids), len(self.ids), first, ids.text(self.last))

    def trim_point(self, wanted: Id, oldest: int) -> Id:
        """Return `wanted`, but not past what the group has not confirmed unless that is before `oldest` (ms)."""
        if self.group is None:
            return wanted
        return min(wanted, max(self.group.confirmed(), (oldest, 0)))

    def done(self, cursor: str, now: int) -> bool:
        """Whether the group has confirmed all entries, and what is unread is so old that no call waits for it."""
        confirmed = self.group is None or (not self.group.pending and self.group.delivered >= self.last)
        return confirmed and (self.last <= ids.order(cursor) or self.last[0] < now - CLOSED_KEPT_MS)

    def deliver(self, consumer: str, count: int, now: int) -> list[tuple[Id, bytes]]:
        """Give the group's next entries to a consumer."""
        if self.group is None:
            return []
        entries = self.after(self.group.delivered, count)
        for id, _ in entries:
            self.group.delivered = id
            self.group.pending[id] = Delivery(consumer, now)
        return entries

    def claim(self, consumer: str, idle_ms: int, count: int, now: int) -> list[tuple[Id, bytes]]:
        """Move entries that nobody has confirmed for `idle_ms` to a consumer; forget those that were trimmed."""
        if self.group is None:
            return []
        claimed: list[tuple[Id, bytes]] = []
        for id, delivery in list(self.group.pending.items()):
            if now - delivery.at < idle_ms or len(claimed) >= count:
                continue
            entry = self.after((id[0], id[1] - 1), 1, id)
            if entry:
                self.group.pending[id] = Delivery(consumer, now)
            else:
                del self.group.pending[id]
            claimed += entry
        return claimed

    def acknowledge(self, confirmed: list[Id]) -> None:
        """Take entries off the group's pending list."""
        if self.group is not None:
            for id in confirmed:
                self.group.pending.pop(id, None)
