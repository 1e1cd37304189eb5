"""One partition in memory: its lease, its owner and its open calls. The rules are those of the scripts."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy

from msgspec import Struct, field

from luthien_stream.bus import ids
from luthien_stream.bus.limits import CLOSED_KEPT_MS
from luthien_stream.bus.port import START, Open, Settled, Settlement


class Lease(Struct):
    """Who may consume, until when (milliseconds since 1970)."""

    worker: str
    expires: int


class Spilled(Struct):
    """A call's events that the stream no longer keeps."""

    packs: list[tuple[str, bytes]]
    expires: int


class Partition(Struct):
    """What the server keeps of a partition beside its stream. Times are milliseconds; in `closed`, microseconds."""

    owner: str = ""
    who: str = ""
    token: int = 0
    turn: int = 0
    cursor: str = START
    crashes: int = 0
    suspect: str = ""
    lease: Lease | None = None
    open: dict[str, Open] = field(default_factory=dict)
    closed: dict[str, int] = field(default_factory=dict)
    spills: dict[str, Spilled] = field(default_factory=dict)

    def holder(self, now: int) -> str:
        """Who holds the lease, empty for nobody."""
        return self.lease.worker if self.lease is not None and self.lease.expires > now else ""

    def take(self, worker: str, random: str, expires: int) -> int:
        """Make `worker` the owner; return how many owners before it died without progress."""
        died = self.crashes
        self.token += 1
        self.crashes += 1
        self.owner, self.who, self.turn = f"{self.token}:{random}", worker, 0
        self.lease = Lease(worker, expires)
        return died

    def release(self) -> None:
        """Give the partition up in good order: this owner did not crash."""
        self.owner = self.who = ""
        self.lease = None
        self.crashes = max(0, self.crashes - 1)

    def check(self, settlement: Settlement) -> Settled | None:
        """Say why a turn must not be written, or None if it may."""
        if settlement.owner != self.owner:
            return Settled("fenced")
        if settlement.turn <= self.turn:
            return Settled("dup", self.turn)
        if settlement.turn != self.turn + 1:
            return Settled("gap", self.turn)
        return None

    def apply(self, settlement: Settlement, now_us: int) -> None:
        """Write a turn, but for the entries that it appends to streams."""
        if settlement.cursor != self.cursor or settlement.closed:
            self.crashes = 0
        self.turn, self.cursor = settlement.turn, settlement.cursor
        for call, value in settlement.open.items():
            if call not in self.closed:
                self._reopen(call, value)
        for call in settlement.closed:
            self.open.pop(call, None)
            self.spills.pop(call, None)
            self.closed[call] = now_us
        if settlement.closed:
            oldest = now_us - CLOSED_KEPT_MS * 1000
            self.closed = {call: at for call, at in self.closed.items() if at > oldest}

    def spill(self, call: str, packs: Sequence[tuple[str, bytes]], first: str, expires: int) -> None:
        """Keep a call's events apart and move its `first` on."""
        if call not in self.open:
            return
        kept = self.spills.setdefault(call, Spilled([], expires))
        kept.packs += packs
        kept.expires = expires
        self.open[call].first = max(first, self.open[call].first, key=ids.order)

    def trim_point(self) -> tuple[int, int]:
        """Nothing before this id is needed for a rebuild."""
        return min(ids.order(each) for each in (self.cursor, *(call.first for call in self.open.values())))

    def _reopen(self, call: str, value: Open) -> None:
        before = self.open.get(call)
        self.open[call] = copy(value)
        if before is not None:
            self.open[call].first = max(before.first, value.first, key=ids.order)
