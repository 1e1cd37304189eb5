"""How a call that did not end well ends for its client: one table from the record's words to HTTP."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from luthien_stream.events.log import ResponseAborted, ResponseCompleted, ResponseFailed, Terminal

Left = Literal["complete", "disconnected", "timeout", "error"]
PROVIDER_ERROR = "provider_error"
_STATUS = {
    "upstream_timeout": 504,
    "upstream_cut": 502,
    "upstream_protocol": 502,
    "upstream_unreachable": 502,
    "deadline": 504,
    "model_unknown": 404,
}


class Failure(Struct, frozen=True):
    """What the client is told, in its dialect: before the first byte as an HTTP error, later inside the stream."""

    error: str
    message: str
    status: int = 503
    retry: bool | None = None
    """For the header `x-should-retry`; None leaves it to the client."""
    left: Left = "error"
    by: str = ""
    """The person who ended the call, if one did."""


POLICY_FAILED = Failure(
    "policy_failed", "A policy failed: the answer is withheld. The gateway's record of this call says why", 503, False
)
"""A constant: what the policy raised may quote what it withheld, and is in the record only."""


def failure_of(terminal: Terminal) -> Failure | None:
    """Return what a final lane's end means for the client; None for a good end."""
    match terminal:
        case ResponseCompleted():
            return None
        case ResponseFailed(error="policy_failed"):
            return POLICY_FAILED
        case ResponseFailed():
            message = terminal.message or f"The call failed: {terminal.error}"
            return Failure(terminal.error, message, terminal.status or _STATUS.get(terminal.error, 503))
        case ResponseAborted():
            return Failure(terminal.reason, f"The call was ended: {terminal.reason}", _STATUS.get(terminal.reason, 503))


INTERNAL = Failure("internal_error", "The gateway failed: its log says why, under the id of this call", 500, False)
NO_PROGRESS = Failure(
    "no_progress", "The policies' answer did not come: the call was ended. Try again", 503, left="timeout"
)
DEADLINE = Failure("deadline", "The call took longer than a call may take", 504, left="timeout")
SPLICE = Failure("digest", "The released answer does not continue what was sent: the call was ended. Try again", 503)
LOG_LOST = Failure("log_unavailable", "The log could not be written: the call was ended. Try again", 503)
SLOW_CLIENT = Failure("slow_client", "The client took nothing for too long", 503, left="timeout")
STOPPING = Failure("gateway_stopping", "The gateway is shutting down: the call was ended. Try again", 503)


STOPPED = "stopped"


def stopped(by: str, reason: str) -> Failure:
    """A person has ended the call."""
    return Failure(STOPPED, f"Stopped by {by}" + (f": {reason}" if reason else ""), 403, False, by=by)


def violation(message: str) -> Failure:
    """A frame that we made breaks its format: our fault, so nothing more is sent."""
    return Failure("protocol_violated", f"The answer that was made for you is not well-formed: {message}", 500, False)
