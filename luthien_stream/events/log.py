"""The records of the log: one struct a type, named by what happened.

`call`, `n`, `time` and `prev` are the envelope; their CloudEvents names are in `json_form`. `n` counts per (call,
source) without holes, -1 where an event carries none. `prev` is the CRC-32 digest of what the same stage released
for this call before, -1 where no stage wrote it. Times are microseconds since 1970, UTC.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from luthien_stream.events.slip import Hop as Hop
from luthien_stream.events.slip import Phase as Phase
from luthien_stream.events.slip import Slip as Slip
from luthien_stream.events.unknown import Unknown as Unknown

Lane = Literal["original", "final"]
VerdictKind = Literal["allow", "rewrite", "deny", "hold", "stop", "score"]
Header = tuple[str, str]


class LogEvent(
    Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="type", tag=lambda name: name
):
    """What all events have in common."""

    call: str
    n: int = -1
    time: int = 0
    prev: int = -1
    cause: str = ""
    trace: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    """Fields that this release does not know, or knows in part; written again as they came."""


class RequestReceived(LogEvent, tag="request.received"):
    """A client's request was admitted. `body` is empty when `body_ref` names it (SHA-256 of the bytes, hex)."""

    edge: str
    slip: Slip
    format: str
    path: str
    query: str = ""
    headers: tuple[Header, ...] = ()
    body: bytes = b""
    body_ref: str = ""
    body_size: int = 0
    model: str = ""
    streamed: bool = False
    session: str = ""
    key: str = ""
    client: str = ""
    deadline: int = 0
    """When the call is ended whatever happens."""


class RequestReleased(LogEvent, tag="request.released"):
    """The request may go to the provider. `changed` says that `body` or `body_ref` replaces the client's own."""

    changed: bool = False
    body: bytes = b""
    body_ref: str = ""
    body_size: int = 0
    model: str = ""


class RequestRefused(LogEvent, tag="request.refused"):
    """A policy refused the request; the chunks that follow are the answer that says so."""

    policy: str
    reason: str = ""
    shown: str = ""


class ResponseStarted(LogEvent, tag="response.started"):
    """The provider answered with a status and headers (credentials and hop-by-hop headers taken out)."""

    status: int
    headers: tuple[Header, ...] = ()
    provider: str = ""
    model: str = ""
    streamed: bool = False


class ChunkReceived(LogEvent, tag="chunk.received"):
    """One frame of the provider. `kind` is `frame`, `rest` (no blank line at the end), or `body` (not streamed)."""

    frame: bytes
    kind: Literal["frame", "rest", "body"] = "frame"


class ChunkReleased(LogEvent, tag="chunk.released"):
    """One frame for the client. `of` is the ordinal of the received chunk with the same bytes, -1 if we made it."""

    frame: bytes
    kind: Literal["frame", "rest", "body"] = "frame"
    of: int = -1


class FrameInjected(LogEvent, tag="frame.injected"):
    """The edge wrote a frame of its own: a keep-alive or an error. `after` counts the lane's events before it."""

    frame: bytes
    why: str
    after: int = -1


class ResponseDelivered(LogEvent, tag="response.delivered"):
    """The edge is done with the client: `last` is the last ordinal written, `left` how the client left."""

    last: int
    bytes: int
    left: Literal["complete", "disconnected", "timeout", "error"] = "complete"


class ResponseCompleted(LogEvent, tag="response.completed"):
    """A lane ended as it should."""

    lane: Lane
    reason: str = ""
    usage: dict[str, Any] | None = None


class ResponseFailed(LogEvent, tag="response.failed"):
    """A lane ended with an error: `error` is its kind, `message` what to do."""

    lane: Lane
    error: str
    message: str = ""
    status: int = 0


class ResponseAborted(LogEvent, tag="response.aborted"):
    """A lane was ended early. From an edge without `n`: a request to the stage to end the call (a candidate)."""

    lane: Lane
    reason: str
    delivered: int = -1


class ChunkSeen(LogEvent, tag="chunk.seen"):
    """The stage has taken all inputs below `upto`: credit for the edge. Carries no `n`; the largest counts."""

    upto: int


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


class SampleRequested(LogEvent, tag="sample.requested"):
    """A policy asks the owning edge for a model's answer."""

    key: str
    model: str
    request: bytes = b""


class EffectRecorded(LogEvent, tag="effect.recorded"):
    """The recorded result of something outside the log; only the record counts when a policy is run again."""

    key: str
    kind: str
    value: Any = None
    stage: str = ""


class UpstreamCancelled(LogEvent, tag="upstream.cancelled"):
    """The edge stopped reading the provider."""

    why: str


class UpstreamSwitched(LogEvent, tag="upstream.switched"):
    """The edge went to another provider or model before content was sent."""

    provider: str
    model: str
    why: str = ""


class EventDeadLettered(LogEvent, tag="event.dead_lettered"):
    """An event could not be processed; it lies in the dead-letter stream."""

    stream: str
    entry: str
    error: str
    message: str = ""


class StageChanged(LogEvent, tag="stage.changed"):
    """A worker took or gave back a partition, or a stage has another version."""

    stage: str
    partition: int
    owner: str = ""
    why: str = ""


Terminal = ResponseCompleted | ResponseFailed | ResponseAborted
Known = (
    RequestReceived
    | RequestReleased
    | RequestRefused
    | ResponseStarted
    | ChunkReceived
    | ChunkReleased
    | FrameInjected
    | ResponseDelivered
    | ResponseCompleted
    | ResponseFailed
    | ResponseAborted
    | ChunkSeen
    | VerdictReached
    | PolicyFailed
    | PolicyBypassed
    | ProtocolViolated
    | CallHeld
    | ApprovalDecided
    | SampleRequested
    | EffectRecorded
    | UpstreamCancelled
    | UpstreamSwitched
    | EventDeadLettered
    | StageChanged
)
AnyEvent = Known | Unknown
