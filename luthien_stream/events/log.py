"""The records of the log: one struct a type, named by what happened.

`call`, `n`, `time` and `prev` are the envelope; their CloudEvents names are in `json_form`. `n` counts per (call,
source) without holes, -1 where an event carries none. `prev` is the CRC-32 digest of what the same stage released
for this call before, -1 where no stage wrote it. Times are microseconds since 1970, UTC.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import field

from luthien_stream.events.decisions import ApprovalDecided as ApprovalDecided
from luthien_stream.events.decisions import CallHeld as CallHeld
from luthien_stream.events.decisions import EffectRecorded as EffectRecorded
from luthien_stream.events.decisions import PolicyBypassed as PolicyBypassed
from luthien_stream.events.decisions import PolicyFailed as PolicyFailed
from luthien_stream.events.decisions import PolicyRan as PolicyRan
from luthien_stream.events.decisions import ProtocolViolated as ProtocolViolated
from luthien_stream.events.decisions import SampleRequested as SampleRequested
from luthien_stream.events.decisions import StopRequested as StopRequested
from luthien_stream.events.decisions import VerdictKind as VerdictKind
from luthien_stream.events.decisions import VerdictReached as VerdictReached
from luthien_stream.events.envelope import Header as Header
from luthien_stream.events.envelope import Lane as Lane
from luthien_stream.events.envelope import LogEvent as LogEvent
from luthien_stream.events.slip import Hop as Hop
from luthien_stream.events.slip import Phase as Phase
from luthien_stream.events.slip import Slip as Slip
from luthien_stream.events.unknown import Unknown as Unknown


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
    user: str = ""
    """Whom the request says it is for."""
    client: str = ""
    deadline: int = 0
    """When the call is ended whatever happens."""
    effect: str = ""
    """The key of the effect that this call answers, in the call that `cause` names."""


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


class ChunkReceived(LogEvent, tag="chunk.received", gc=False):
    """One frame of the provider. `kind` is `frame`, `rest` (no blank line at the end), or `body` (not streamed)."""

    frame: bytes
    kind: Literal["frame", "rest", "body"] = "frame"


class ChunkReleased(LogEvent, tag="chunk.released", gc=False):
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
    """A lane ended as it should. `policies` are those that finished, in order, as the stages that ran them say."""

    lane: Lane
    reason: str = ""
    usage: dict[str, Any] | None = None
    policies: tuple[PolicyRan, ...] = ()


class ResponseFailed(LogEvent, tag="response.failed"):
    """A lane ended with an error: `error` is its kind, `message` what to do."""

    lane: Lane
    error: str
    message: str = ""
    status: int = 0
    policies: tuple[PolicyRan, ...] = ()


class ResponseAborted(LogEvent, tag="response.aborted"):
    """A lane was ended early. From an edge without `n`: a request to the stage to end the call (a candidate)."""

    lane: Lane
    reason: str
    delivered: int = -1
    by: str = ""
    """Who ended it, where a person did."""
    policies: tuple[PolicyRan, ...] = ()


class ChunkSeen(LogEvent, tag="chunk.seen"):
    """The stage has taken all inputs below `upto`: credit for the edge. Carries no `n`; the largest counts."""

    upto: int


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
    """A worker took or gave back a partition, or a stage is in force from here on (`why`: `in_force`).

    Then `written` is the pipeline as it was written, with no value of the environment in it, and `policies` names the
    stage's own with their versions.
    """

    stage: str
    partition: int
    owner: str = ""
    why: str = ""
    written: list[Any] = field(default_factory=list)
    policies: tuple[tuple[str, str], ...] = ()


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
    | StopRequested
    | EffectRecorded
    | UpstreamCancelled
    | UpstreamSwitched
    | EventDeadLettered
    | StageChanged
)
AnyEvent = Known | Unknown
