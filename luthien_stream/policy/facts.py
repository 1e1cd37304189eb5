"""What the engine hands from hand to hand while a call's policies run: which call, which policy, what is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from msgspec import Struct

from luthien_stream.config.model import Globs
from luthien_stream.core.lens import Request
from luthien_stream.core.partition import partition_of
from luthien_stream.core.program import Want
from luthien_stream.events.answer import Event
from luthien_stream.events.log import Known, Phase, RequestReceived, SampleRequested
from luthien_stream.policy.errors import EffectFailed

if TYPE_CHECKING:
    from luthien_stream.policy.folding import Sessions
    from luthien_stream.policy.tally import Tally


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


class Done:
    """Stands behind the last event of an answer."""


DONE: Final = Done()
Got = Event | EffectFailed | Done
"""What is read of an answer: an event, that it failed, or that it is over."""


class Draw(Protocol):
    """An answer that a policy has asked for."""

    @property
    def read(self) -> bool:
        """Its reader has seen the end."""

    @property
    def time(self) -> int:
        """When what was last read of it came in, microseconds since 1970."""

    def pull(self, clock: int) -> Got | None:
        """What comes next; None where it is not there yet. `clock` is the time that the reader has got to."""


class Draws(Protocol):
    """Where answers are asked for."""

    def open(self, requested: SampleRequested, want: Want, me: Identity, note: Callable[[Known], None]) -> Draw:
        """Expect an answer."""


class Shared:
    """What all policies of one call have in common while they run."""

    __slots__ = (
        "at",
        "bills",
        "clock",
        "draws",
        "given",
        "now",
        "place",
        "records",
        "request",
        "results",
        "sessions",
        "tally",
        "waiting",
    )

    def __init__(self, place: Place | None = None) -> None:
        self.place = place or Place()
        self.at = -1
        """The ordinal of the input in hand, -1 where it has none."""
        self.now = 0
        """The time of the event in hand, microseconds since 1970."""
        self.clock = 0
        """The time that whoever handed it on had got to by then: later, where a policy waited for an effect."""
        self.results: dict[str, Any] = {}
        """Recorded results of effects, by key."""
        self.records: dict[str, tuple[str, int]] = {}
        """The digest of what was asked for and the time of the record, by key, where they are known."""
        self.waiting = 0
        """How many policies of the response chain wait for an effect."""
        self.request: Request | None = None
        """The request as the policy in hand has it; in the response phase the released one."""
        self.draws: Draws | None = None
        self.bills: list[dict[str, Any]] = []
        """Token counts of answers that policies asked for; an `End` with one of these objects ends such an answer."""
        self.given: dict[int, Request] = {}
        """The request as it was given to a policy that changed it, by the policy's index."""

        self.sessions: Sessions | None = None
        self.tally: Tally | None = None

    def nested(self) -> Shared:
        """The same call, for policies that run over an answer of their own: another clock, and they wait apart."""
        other = Shared(self.place)
        other.results, other.records, other.bills = self.results, self.records, self.bills
        other.request, other.given, other.draws = self.request, self.given, self.draws
        other.sessions = self.sessions
        return other
