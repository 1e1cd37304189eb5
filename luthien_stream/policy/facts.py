"""What the engine hands from hand to hand while a call's policies run: which call, which policy, what is known."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from luthien_stream.config.model import Globs
from luthien_stream.core.lens import Request
from luthien_stream.core.partition import partition_of
from luthien_stream.events.log import Phase, RequestReceived


class CallFacts(Struct, frozen=True):
    """What is known of the call that a policy runs in."""

    id: str = ""
    session: str = ""
    user: str = ""
    """Whom the request names, in `user` or `metadata.user_id`."""
    model: str = ""
    format: str = ""
    path: str = ""
    streamed: bool = False
    key: str = ""
    """Name of the gateway key, empty where the client brought its own credential."""
    client: str = ""

    @classmethod
    def of(cls, event: RequestReceived) -> CallFacts:
        """Read them from the event that opens the call."""
        return cls(**{name: getattr(event, "call" if name == "id" else name) for name in cls.__struct_fields__})


class Place(Struct, frozen=True):
    """Where the answers to what policies ask for are to be written: the stage's key and the call's partition."""

    stage: str = ""
    partition: int = -1

    @classmethod
    def of(cls, event: RequestReceived, stage: str) -> Place:
        """The slip knows the partition; a call without one is where its id says."""
        for hop in event.slip.hops:
            if hop.stage == stage:
                return cls(stage, hop.partition)
        return cls(stage, partition_of(event.call))


class Identity(Struct, frozen=True):
    """Which policy of the chain a context belongs to, and in which phase."""

    name: str
    version: str
    index: int
    phase: Phase
    timeout_s: float
    tools: Globs = "*"
    """The tools that the policy is for, where it decides on tool calls."""
    prefix: str = ""
    """Of the keys of its effects: empty, or the key of the draw that it runs over and `/`."""


class Shared:
    """What all policies of one call have in common while they run."""

    __slots__ = ("given", "now", "place", "records", "request", "results", "waiting")

    def __init__(self, place: Place | None = None) -> None:
        self.place = place or Place()
        self.now = 0
        """The time of the event in hand, microseconds since 1970."""
        self.results: dict[str, Any] = {}
        """Recorded results of effects, by key."""
        self.records: dict[str, tuple[str, int]] = {}
        """The digest of what was asked for and the time of the record, by key, where they are known."""
        self.waiting = 0
        """How many policies of the response chain wait for an effect."""
        self.request: Request | None = None
        """The request as the policy in hand has it; in the response phase the released one."""
        self.given: dict[int, Request] = {}
        """The request as it was given to a policy that changed it, by the policy's index."""
