"""The state machine of a lane: which event may follow which in what a stage releases for one call.

    opened ─ request.released ─▶ released ─ response.started ─▶ started ─ chunk.released* ─ terminal ─▶ ended
       └──── request.refused ──▶ refused ── chunk.released* ── terminal ─▶ ended

Verdicts, failures, holds and the like may come anywhere before the end; a failed or aborted terminal event too.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from luthien_stream.errors import LuthienError
from luthien_stream.events import log
from luthien_stream.events.log import AnyEvent


class LaneError(LuthienError):
    """A stage put out an event that its lane cannot hold now. The program that made it is at fault."""


class State(Enum):
    """How far a lane is."""

    OPENED = "opened"
    RELEASED = "released"
    REFUSED = "refused"
    STARTED = "started"
    ENDED = "ended"


Moves = Mapping[type[Any], State]

_ANYWHERE = (
    log.CallHeld,
    log.EventDeadLettered,
    log.PolicyBypassed,
    log.PolicyFailed,
    log.ProtocolViolated,
    log.SampleRequested,
    log.UpstreamCancelled,
    log.UpstreamSwitched,
    log.VerdictReached,
    log.Unknown,
)
_EARLY_ENDS: Moves = {log.ResponseFailed: State.ENDED, log.ResponseAborted: State.ENDED}
_OWN: Mapping[State, Moves] = {
    State.OPENED: {
        log.RequestReceived: State.OPENED,  # handed on to a later stage
        log.RequestReleased: State.RELEASED,
        log.RequestRefused: State.REFUSED,
    },
    State.RELEASED: {log.ResponseStarted: State.STARTED},
    State.REFUSED: {log.ChunkReleased: State.REFUSED, log.ResponseCompleted: State.ENDED},
    State.STARTED: {log.ChunkReleased: State.STARTED, log.ResponseCompleted: State.ENDED},
}
TABLE: Mapping[State, Moves] = {
    **{state: {**dict.fromkeys(_ANYWHERE, state), **_EARLY_ENDS, **own} for state, own in _OWN.items()},
    State.ENDED: {},
}
"""For each state, what may come next and where it leads."""


def step(state: State, event: AnyEvent) -> State:
    """Return the state after `event`. Raises `LaneError` where the lane cannot hold it."""
    after = TABLE[state].get(type(event))
    if after is None:
        raise LaneError(f"{type(event).__name__} cannot come in a lane that is {state.value}")
    return after
