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


class Data(Struct):
    """The keys of the server."""

    streams: dict[str, Stream] = field(default_factory=dict)
    registered: set[str] = field(default_factory=set)
    partitions: dict[str, Partition] = field(default_factory=dict)
    bodies: dict[str, Body] = field(default_factory=dict)
    values: dict[str, Body] = field(default_factory=dict)
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
        self.beats = {key: beat for key, beat in self.beats.items() if beat.expires > now}

    def used(self) -> int:
        """Bytes of all entries, bodies and values."""
        kept = [*self.bodies.values(), *self.values.values()]
        return sum(stream.size for stream in self.streams.values()) + sum(len(one.body) for one in kept)
