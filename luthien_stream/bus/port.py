"""The bus: the one port between the roles. Two implementations, `memory` and `redis`, pass one contract suite.

A partition is one input stream with a lease, a cursor, the calls open in it, and one owner at a time; `settle` is the
owner's only way to write. Reads take nothing away. The rules are written out in `redis/scripts`, one file each.

Errors, for every method: `BusUnavailable` (not executed), `BusAmbiguous` (perhaps executed), `BusFull`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, Protocol

from msgspec import Struct, field

from luthien_stream.core.program import Folded

START = "0-0"


class Entry(Struct, frozen=True):
    """One stream entry. `raw` is a pack; empty where the entry had another shape."""

    stream: str
    id: str
    raw: bytes


class Open(Struct):
    """What is kept of a call while it is open in a partition."""

    first: str
    """The entry to rebuild from."""
    released: int
    """The next ordinal to release."""
    digest: int
    """Digest of everything released below it."""
    edge: str
    deadline: int
    """Microseconds since 1970."""


class Acquired(Struct):
    """What a new owner starts from."""

    owner: str
    cursor: str
    tail: str
    """The last entry id at the acquisition: nothing is decided before it has been read."""
    open: dict[str, Open]
    closed: dict[str, int]
    """By call: when it closed, microseconds since 1970."""
    spills: dict[str, list[tuple[str, bytes]]]
    """By call: (entry id, pack with that call's events only), in order."""
    crashes: int
    """How many owners before this one died since the cursor last moved or a call closed."""
    suspect: str
    """`call entry` that an earlier owner was running when it died, empty if none."""
    run_id: str
    """The server's incarnation."""


class Settlement(Struct):
    """One turn of an owner: written whole or not at all."""

    owner: str
    turn: int
    cursor: str
    effects: bytes = b""
    """A pack for the partition's own stream, empty for none."""
    outputs: Sequence[tuple[str, bytes]] = ()
    """(stream, pack), in order."""
    open: Mapping[str, Open] = {}
    folds: Sequence[Folded] = ()
    """What calls that end add to their sessions."""
    closed: Sequence[str] = ()


class Fold(Struct):
    """What is kept of a session for one policy: a state made of the first `base` deltas, and those after it."""

    base: int = 0
    state: Any = None
    deltas: list[Any] = field(default_factory=list)


class Span(Struct, frozen=True):
    """What a stream has held and what it still holds. All zero for one that is not there."""

    added: int = 0
    """How many entries were ever written to it."""
    kept: int = 0
    """How many are there."""
    first: str = START
    """Id of the oldest entry kept, `0-0` if none."""
    last: str = START
    """Id of the newest entry ever written."""

    @property
    def trimmed(self) -> int:
        """How many entries are no longer there: the oldest."""
        return self.added - self.kept


class Settled(Struct, frozen=True):
    """What settle answers. `turn` is the last turn that the server knows, with `gap`."""

    outcome: Literal["ok", "dup", "gap", "fenced"]
    turn: int = 0


class Lag(Struct, frozen=True):
    """How far a group is behind on a stream."""

    stream: str
    entries: int | None
    pending: int
    oldest_ms: int

    @property
    def behind(self) -> int:
        """How many entries it has not confirmed, as far as the server knows."""
        return (self.entries or 0) + self.pending


class Reader(Protocol):
    """A connection of its own for a blocking loop; `block_ms` is its deadline. One cancelled in a read must be left."""

    async def read(self, positions: Mapping[str, str], *, count: int = 64, block_ms: int = 1000) -> list[Entry]:
        """Entries after each position, in order by stream; empty when `block_ms` passed."""

    async def turn(
        self, partition: str, settlement: Settlement, position: str, *, count: int = 64, block_ms: int = 1000
    ) -> tuple[Settled, list[Entry]]:
        """Settle, then read the partition's stream on, in one write."""

    async def read_group(self, streams: Sequence[str], consumer: str, *, count: int, block_ms: int) -> list[Entry]:
        """New entries for the activity group."""


class Bus(Protocol):
    """Partition keys are `<stage>:<number>`; stream names are what `keys` makes."""

    def reader(self) -> AbstractAsyncContextManager[Reader]: ...
    async def close(self) -> None: ...
    async def ping(self) -> None: ...
    async def run_id(self) -> str:
        """The server's incarnation: another value means that it was restarted and may have forgotten."""

    # streams
    async def append(self, stream: str, raw: bytes) -> str: ...
    async def range(self, stream: str, after: str, upto: str = "+", *, count: int = 1000) -> list[Entry]:
        """Entries with `after` < id <= `upto`."""

    async def first_id(self, stream: str) -> str:
        """Id of the oldest entry kept, `0-0` if none."""

    async def last_id(self, stream: str) -> str:
        """Id of the newest entry ever written, `0-0` if none."""

    async def spans(self, streams: Sequence[str]) -> dict[str, Span]:
        """What each stream holds."""

    async def register_stream(self, stream: str, *, recorded: bool) -> None:
        """Make a stream known to `streams()`; `recorded`: with the activity group from its beginning."""

    async def forget_stream(self, stream: str) -> None: ...
    async def expire_stream(self, stream: str, *, ttl_ms: int) -> None:
        """Let the stream go when nobody has renewed it for this long."""

    async def streams(self) -> list[str]: ...
    async def trim_stream(self, stream: str, before: str, *, max_age_ms: int) -> int:
        """Drop entries before `before` that activity has confirmed, or that are older than `max_age_ms`."""

    # partitions
    async def acquire(self, partition: str, worker: str, *, lease_ms: int) -> Acquired | None:
        """Take the partition if its lease is free; None if another has it, or in the quiet time after a restart."""

    async def renew(self, partition: str, owner: str, worker: str, *, lease_ms: int) -> bool: ...
    async def release(self, partition: str, owner: str) -> None: ...
    async def lease_holder(self, partition: str) -> str: ...
    async def settle(self, partition: str, settlement: Settlement) -> Settled: ...
    async def state(self, partition: str) -> tuple[str, int]:
        """(owner, turn) as the server knows them."""

    async def spill(
        self, partition: str, owner: str, call: str, packs: Sequence[tuple[str, bytes]], first: str, *, ttl_ms: int
    ) -> bool:
        """Move a call's events to its own list and its `first` on. False if fenced."""

    async def trim(self, partition: str, owner: str, *, max_age_ms: int, min_age_ms: int = 0) -> int:
        """Drop what neither the owner, nor an open call, nor activity needs, once it is `min_age_ms` old."""

    async def suspect(self, partition: str, owner: str, what: str) -> None: ...
    async def open_calls(self, partition: str) -> dict[str, Open]: ...
    async def drop_partition(self, partition: str) -> bool:
        """Delete a partition that nobody owns and that has no open call and nothing unconfirmed; False otherwise."""

    def last_words(self, partition: str, owner: str, suspect: str) -> None:
        """Write `suspect` and give up the lease, synchronously, from a thread of a process that is about to die."""

    # bodies, values, processes, dead letters
    async def put_body(self, ref: str, body: bytes, *, ttl_ms: int) -> None: ...
    async def get_body(self, ref: str) -> bytes:
        """Raises `BodyMissing`."""

    async def touch_bodies(self, refs: Sequence[str], *, ttl_ms: int) -> None: ...
    async def put_values(self, values: Mapping[str, bytes], *, ttl_ms: int) -> None:
        """Keep values under their names for a while; what is there is replaced."""

    async def claim_value(self, name: str, value: bytes, *, ttl_ms: int) -> bytes:
        """Keep a value unless the name has one; return the one that it has now."""

    async def get_value(self, name: str) -> bytes | None: ...
    async def drop_value(self, name: str) -> None: ...
    async def beat(self, role: str, name: str, facts: Mapping[str, str], *, ttl_ms: int) -> None: ...
    async def unbeat(self, role: str, name: str) -> None: ...
    async def alive(self, role: str) -> dict[str, dict[str, str]]:
        """Who has a heartbeat: name to facts."""

    async def dead_letter(self, record: Mapping[str, bytes]) -> str: ...
    async def dead_letters(self, *, after: str = START, count: int = 100) -> list[tuple[str, dict[str, bytes]]]: ...
    async def drop_dead_letter(self, id: str) -> None: ...
    async def memory(self) -> tuple[int, int]:
        """(used, limit) in bytes; limit 0 means none."""

    # what outlives a call. `once` names the call and what it does: a command that is repeated does nothing more
    async def folds(self, session: str, names: Sequence[str]) -> dict[str, Fold]:
        """What is kept of a session, by policy; an empty one where nothing is."""

    async def recall(self, name: str) -> Any:
        """What a policy keeps under a name; None if it keeps nothing."""

    async def remember(self, name: str, value: Any, *, once: str, ttl_ms: int) -> None:
        """Keep a value of a policy; what is there is replaced."""

    async def count(self, name: str, amount: int, *, once: str, ttl_ms: int) -> int:
        """Add to a number of a policy, which lives for `ttl_ms` from its first addition. Raises `NoNumber`."""

    async def take_value(self, name: str, *, once: str) -> bytes | None:
        """Take away what `put_values` keeps under a name; None if there is nothing."""

    async def enlist(self, group: str, name: str, *, ttl_ms: int) -> None:
        """Make a name known in a group for a while."""

    async def enlisted(self, group: str) -> list[str]:
        """The names in a group, in the order of their ends."""

    # the activity group
    async def acknowledge(self, stream: str, ids: Sequence[str]) -> None: ...
    async def claim(self, stream: str, consumer: str, *, idle_ms: int, count: int) -> list[Entry]: ...
    async def lag(self, stream: str) -> Lag: ...
