"""Digests of rows, and the chain over those of one call: whether anything is missing, changed or swapped. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal

import msgspec
from msgspec import Struct

DIGEST_BYTES = 16
"""Of SHA-256, for one row."""
_ENCODER = msgspec.msgpack.Encoder()
Place = tuple[str, str, int, str]
"""(kind of row, source, ordinal, key): where a row is in its call."""


class Link(Struct, frozen=True, array_like=True, order=True):
    """One row in the chain. A call may have a row twice, where a batch was stored again after a crash."""

    kind: str
    src: str
    n: int
    key: str
    digest: bytes

    @property
    def place(self) -> Place:
        """Where the row is."""
        return (self.kind, self.src, self.n, self.key)


class Finding(Struct, frozen=True):
    """A row that is not as it was sealed. `other` is the place that it was swapped with."""

    what: Literal["missing", "changed", "swapped", "added"]
    place: Place
    other: Place | None = None

    def __str__(self) -> str:
        """The finding as a sentence."""
        where = _named(self.place)
        match self.what:
            case "swapped" if self.other is not None:
                return f"{where} and {_named(self.other)} are swapped"
            case "added":
                return f"{where} was not there when the call was sealed"
            case "missing":
                return f"{where} is missing"
        return f"{where} was changed"


def digest_of(*columns: Any) -> bytes:
    """Return the digest of a row: over all that it says, its place included."""
    return sha256(_ENCODER.encode(columns)).digest()[:DIGEST_BYTES]


def head_of(links: Iterable[Link]) -> bytes:
    """Return the head of a chain, in the order of places."""
    head = b""
    for link in sorted(links):
        head = sha256(head + _ENCODER.encode(link)).digest()
    return head


def pack(links: Iterable[Link]) -> bytes:
    """Return links as they are stored."""
    return _ENCODER.encode(sorted(links))


def unpack(raw: bytes) -> list[Link]:
    """Read stored links. Raises `msgspec.DecodeError`."""
    return msgspec.msgpack.decode(raw, type=list[Link])


def compare(sealed: Sequence[Link], found: Mapping[Place, Mapping[str, Any]], digests: Any) -> Iterator[Finding]:
    """Yield what differs between a seal and the rows that are there.

    `found` are rows by place, with their columns; `digests(columns, place)` is the digest that a row would have there.
    """
    wanted: dict[Place, set[bytes]] = {}
    for link in sealed:
        wanted.setdefault(link.place, set()).add(link.digest)
    wrong = [
        place for place, columns in found.items() if place in wanted and digests(columns, place) not in wanted[place]
    ]
    swapped: set[Place] = set()
    for at, place in enumerate(wrong):
        for other in wrong[at + 1 :]:
            if place in swapped or other in swapped or place[0] != other[0]:
                continue
            if digests(found[place], other) in wanted[other] and digests(found[other], place) in wanted[place]:
                swapped |= {place, other}
                yield Finding("swapped", place, other)
    yield from (Finding("changed", place) for place in wrong if place not in swapped)
    yield from (Finding("missing", place) for place in wanted if place not in found)
    yield from (Finding("added", place) for place in found if place not in wanted)


def _named(place: Place) -> str:
    kind, src, n, key = place
    if kind == "run":
        return f"the chunks of {src} from ordinal {n} on"
    if kind == "event":
        return f"the event {n} of {src}" if n >= 0 else f"the event {key} of {src}"
    return f"the {kind} {key}".rstrip()
