"""What policies and people decide, and what they ask for: the records between the two lanes."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from luthien_stream.events.envelope import LogEvent
from luthien_stream.events.slip import Phase

VerdictKind = Literal["allow", "rewrite", "deny", "hold", "stop", "score"]


class PolicyRan(Struct, frozen=True, omit_defaults=True):
    """A policy that was run to its end over a call. `held_us` is how long it kept an event at most, microseconds."""

    name: str
    version: str = ""
    verdict: str = ""
    """The gravest of its verdicts, empty if it gave none."""
    held_us: int = 0
    shadow: bool = False


class VerdictReached(LogEvent, tag="verdict.reached"):
    """A policy decided. `reason` is for the log only, `shown` is what the agent was told."""

    policy: str
    kind: VerdictKind
    version: str = ""
    phase: Phase = "response"
    reason: str = ""
    shown: str = ""
    score: float | None = None
    about: str = ""
    shadow: bool = False
    """Nothing was done about it: the policy runs beside the call."""


class PolicyFailed(LogEvent, tag="policy.failed"):
    """A policy failed on this call; `went` says which way the call went (`on_error`)."""

    policy: str
    error: str
    message: str = ""
    phase: Phase = "response"
    went: Literal["closed", "open"] = "closed"


class PolicyBypassed(LogEvent, tag="policy.bypassed"):
    """From here on the stage's output is not used: the user opened this path by name."""

    at: int
    why: str


class ProtocolViolated(LogEvent, tag="protocol.violated"):
    """A frame breaks its format's rules."""

    rule: str
    message: str = ""
    by: str = ""
    at: int = -1


class CallHeld(LogEvent, tag="call.held"):
    """A call waits for a person's decision."""

    key: str
    stage: str = ""
    partition: int = -1
    deadline: int = 0
    subject: dict[str, Any] = field(default_factory=dict)


class ApprovalDecided(LogEvent, tag="approval.decided"):
    """A person decided on a held call (a candidate: the first that the owner adopts counts)."""

    key: str
    decision: str
    by: str = ""
    args: Any = None
    digest: str = ""
    """Of what was decided on, as `subject` of the hold says; another one is no answer to it."""


class SampleRequested(LogEvent, tag="sample.requested"):
    """A policy asks the owning edge for a model's answer, which comes back as inputs from `sample:<key>`.

    `format` is the one of `body` and of the answer. An empty body without `body_ref` means the released request.
    """

    key: str
    model: str
    format: str = ""
    body: bytes = b""
    body_ref: str = ""
    body_size: int = 0
    why: Literal["sample", "judge"] = "sample"
    policy: str = ""
    stage: str = ""
    partition: int = -1
    deadline: int = 0
    """When nobody waits for it any more."""


class StopRequested(LogEvent, tag="stop.requested"):
    """A person wants calls ended now: the one named, those of a session, or all. A command to an edge, without `n`."""

    by: str
    session: str = ""
    all: bool = False
    reason: str = ""


class EffectRecorded(LogEvent, tag="effect.recorded"):
    """The recorded result of something outside the log; only the record counts when a policy is run again."""

    key: str
    kind: str
    value: Any = None
    stage: str = ""
    of: str = ""
    """Digest of what was asked for; a run that asks for something else under the same key is another run."""
    asked: Any = None
    """What was asked for, where no event of its own says so (`sample.requested`, `call.held`)."""
