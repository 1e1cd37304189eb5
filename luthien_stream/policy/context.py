"""What a policy knows beside its events. All of it comes from the log, so that a second run sees the same."""

from __future__ import annotations

import random
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from msgspec import Struct

from luthien_stream.config.model import Globs
from luthien_stream.core.program import Want
from luthien_stream.events.log import Phase, RequestReceived, VerdictKind, VerdictReached
from luthien_stream.policy.effects import perform
from luthien_stream.policy.matching import fits


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


class Shared:
    """What all policies of one call have in common while they run."""

    __slots__ = ("now", "results", "waiting")

    def __init__(self) -> None:
        self.now = 0
        """The time of the event in hand, microseconds since 1970."""
        self.results: dict[str, Any] = {}
        """Recorded results of effects, by key."""
        self.waiting = 0
        """How many policies of the response chain wait for an effect."""


class Identity(Struct, frozen=True):
    """Which policy of the chain a context belongs to, and in which phase."""

    name: str
    version: str
    index: int
    phase: Phase
    timeout_s: float
    tools: Globs = "*"
    """The tools that the policy is for, where it decides on tool calls."""


class Context:
    """Time, chance, verdicts and facts for one policy in one phase of one call."""

    __slots__ = ("_count", "_me", "_note", "_random", "_shared", "call")

    def __init__(self, call: CallFacts, me: Identity, shared: Shared, note: Callable[[VerdictReached], None]) -> None:
        self.call = call
        self._me, self._shared, self._note = me, shared, note
        self._random: random.Random | None = None
        self._count = 0

    @property
    def session(self) -> str:
        """The agent run that the call belongs to, empty where unknown."""
        return self.call.session

    def concerns(self, tool: str) -> bool:
        """Say whether the policy is for this tool, as its `match` says."""
        return fits(self._me.tools, tool)

    @property
    def now(self) -> int:
        """When the event in hand came in, microseconds since 1970, UTC."""
        return self._shared.now

    @property
    def random(self) -> random.Random:
        """Chance, seeded by call, policy and phase: a second run draws the same."""
        if self._random is None:
            self._random = random.Random(f"{self.call.id}/{self._me.index}/{self._me.phase}")
        return self._random

    def uuid(self) -> uuid.UUID:
        """Return a new UUID, drawn from `random`."""
        return uuid.UUID(int=self.random.getrandbits(128), version=4)

    @property
    def log(self) -> Any:
        """A logger that names call and policy; a call that is run again logs again. Never log what was said."""
        return structlog.get_logger().bind(call=self.call.id, policy=self._me.name)

    def verdict(
        self, kind: VerdictKind, reason: str = "", *, shown: str = "", score: float | None = None, about: str = ""
    ) -> None:
        """Record a decision: `reason` for the log only, `shown` what the agent is told, `about` a tool call's id."""
        me = self._me
        verdict = VerdictReached(call=self.call.id, policy=me.name, kind=kind, version=me.version, phase=me.phase)
        verdict.reason, verdict.shown, verdict.score, verdict.about = reason, shown, score, about
        self._note(verdict)

    def _effect(self, kind: str, args: Any = None, timeout_s: float | None = None) -> Awaitable[Any]:
        """Ask the owner of the call for something outside the log; its result is recorded once and counts for ever."""
        me = self._me
        key = f"{me.index}/{me.phase}/{self._count}"
        self._count += 1
        limit = me.timeout_s if timeout_s is None else min(timeout_s, me.timeout_s)
        return perform(Want(key, kind, args, limit))
