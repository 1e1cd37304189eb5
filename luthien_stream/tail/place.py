"""Where an event stands in the whole log, and how far a reader has come: pure values with a text form.

The order of places is total: by the millisecond in which the log took the entry, within it by the time that the event
tells (the ids of two streams say nothing there), then by position. A mark adds how many entries of each stream come up
to its place, so that a reader who comes back can be told exactly how many were trimmed meanwhile.
"""

from __future__ import annotations

import re
from binascii import crc32
from collections.abc import Mapping
from functools import lru_cache

from msgspec import Struct

from luthien_stream.errors import LuthienError

TOLD_MOST = 10**16 - 1
"""What an event may tell as its time, microseconds."""
_MARK = re.compile(r"(\d{13})-(\d{16})-(\d{6,9})-(\d{4,9})-([^~]{1,200})~((?:[0-9a-f]{7,20}(?:,|$))*)", re.ASCII)
_WRONG = "{!r} is no id of an event that this stream has sent"


class BadMark(LuthienError):
    """The text is no mark."""


class Place(Struct, frozen=True, order=True):
    """Of one event."""

    ms: int
    """When the log took the entry: milliseconds since 1970, of the server's clock."""
    told: int
    """When the event says it happened: microseconds since 1970."""
    sequence: int
    """Of the entry within its millisecond."""
    n: int
    """Of the event within its entry."""
    stream: str

    def __str__(self) -> str:
        return f"{self.ms:013d}-{self.told:016d}-{self.sequence:06d}-{self.n:04d}-{self.stream}"


class Mark(Struct, frozen=True):
    """A place and, by stream, how many entries ever written come up to it."""

    place: Place
    counts: Mapping[str, int]

    def __str__(self) -> str:
        return f"{self.place}~{','.join(f'{tag(stream)}{count:x}' for stream, count in self.counts.items())}"


class Resume(Struct, frozen=True):
    """A mark as read back: streams go by their tags. One that is not among them had no entry then."""

    place: Place
    counts: Mapping[str, int]

    def count(self, stream: str) -> int:
        """How many entries of a stream come up to the place."""
        return self.counts.get(tag(stream), 0)


@lru_cache(4096)
def tag(stream: str) -> str:
    """Six characters that stand for a stream's name."""
    return f"{crc32(stream.encode()) & 0xFFFFFF:06x}"


def resume(text: str) -> Resume:
    """Read a mark. Raises `BadMark`."""
    found = _MARK.fullmatch(text)
    if found is None:
        raise BadMark(_WRONG.format(text[:80]))
    ms, told, sequence, n = (int(number) for number in found.groups()[:4])
    counts = {each[:6]: int(each[6:], 16) for each in found[6].split(",") if each}
    return Resume(Place(ms, told, sequence, n, found[5]), counts)
