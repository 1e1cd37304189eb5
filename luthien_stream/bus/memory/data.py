"""Everything that a memory bus keeps, and what a snapshot copies. Expired keys are gone when asked for."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from luthien_stream.bus.memory.partition import Partition
from luthien_stream.bus.memory.stream import ZERO, Id, Stream


class Body(Struct):
    """A stored request body or value, until `expires` (milliseconds since 1970)."""

    body: bytes
    expires: int


class Beat(Struct):
    """A heartbeat's facts, until `expires` (milliseconds since 1970)."""

    facts: Mapping[str, str]
    expires: int


class Session(Struct):
    """What is kept of a session for one policy: `state` is made of the first `base` deltas, encoded as they are."""

    base: int = 0
    state: bytes = b""
    deltas: list[bytes] = field(default_factory=list)
    expires: int = 0

    def add(self, delta: bytes, seen: int, state: bytes) -> None:
        """Add a delta, and put a state in the place of the first `seen`."""
        if self.base < seen <= self.base + len(self.deltas):
            self.deltas = self.deltas[seen - self.base :]
            self.base, self.state = seen, state
        self.deltas.append(delta)

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.state) + sum(map(len, self.deltas))


class Data(Struct):
    """The keys of the server."""

    streams: dict[str, Stream] = field(default_factory=dict)
    registered: set[str] = field(default_factory=set)
    partitions: dict[str, Partition] = field(default_factory=dict)
    bodies: dict[str, Body] = field(default_factory=dict)
    values: dict[str, Body] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    members: dict[str, dict[str, int]] = field(default_factory=dict)
    """Names by group, with when each leaves it."""
    beats: dict[tuple[str, str], Beat] = field(default_factory=dict)
    dead: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    dead_last: Id = ZERO

    def find(self, name: str, now: int) -> Stream | None:
        """Return a stream, None if there is none or its time has passed."""
        stream = self.streams.get(name)
        if stream is not None and 0 < stream.expires <= now:
            del self.streams[name]
            return None
        return stream

    def make(self, name: str, now: int) -> Stream:
        """Return a stream, made if there is none."""
        return self.find(name, now) or self.streams.setdefault(name, Stream())

    def partition(self, name: str) -> Partition:
        """Return a partition, made if nobody has used it."""
        return self.partitions.setdefault(name, Partition())

    def expire(self, now: int) -> None:
        """Drop all keys whose time has passed, so that an idle process does not keep them."""
        for name in list(self.streams):
            self.find(name, now)
        self.bodies = {ref: body for ref, body in self.bodies.items() if body.expires > now}
        self.values = {name: value for name, value in self.values.items() if value.expires > now}
        self.sessions = {key: kept for key, kept in self.sessions.items() if kept.expires > now}
        self.beats = {key: beat for key, beat in self.beats.items() if beat.expires > now}

    def used(self) -> int:
        """Bytes of all entries, bodies, values and sessions."""
        kept = [*self.bodies.values(), *self.values.values()]
        size = sum(stream.size for stream in self.streams.values())
        size += sum(session.size for session in self.sessions.values())
        return size + sum(len(one.body) for one in kept)
