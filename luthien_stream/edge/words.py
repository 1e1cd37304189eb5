"""The first and last words about a call: what opens it, how a lane of the edge's own ended, what asks for an end."""

from __future__ import annotations

from luthien_stream.edge.asked import Asked
from luthien_stream.edge.failure import LOG_LOST, Failure
from luthien_stream.edge.line import microseconds
from luthien_stream.edge.refusals import Refusal
from luthien_stream.events import log
from luthien_stream.events.log import Slip, Terminal


def first_words(call: str, edge: str, asked: Asked, slip: Slip, deadline: int) -> log.RequestReceived:
    """Return what opens a call, as `edge` publishes it; `deadline` in microseconds since 1970."""
    shown = asked.published
    return log.RequestReceived(
        call=call,
        edge=edge,
        slip=slip,
        format=asked.format,
        path=asked.path,
        query=shown.query,
        headers=shown.headers,
        body=shown.body,
        body_size=len(shown.body),
        model=asked.view.model,
        streamed=asked.view.streamed,
        session=shown.session,
        user=shown.user,
        key=asked.caller.key,
        client=shown.client,
        deadline=deadline,
    )


def abort(call: str, reason: str, delivered: int, by: str = "") -> log.ResponseAborted:
    """Return what asks a stage to end a call; without an ordinal, since the stage decides what becomes of it."""
    asked = log.ResponseAborted(call=call, time=microseconds(), lane="original", reason=reason, delivered=delivered)
    asked.by = by
    return asked


def refused(call: str, refusal: Refusal) -> log.ResponseFailed:
    """Return the end of a call that was not begun."""
    return log.ResponseFailed(call=call, lane="final", error=refusal.error, message=str(refusal), status=refusal.status)


def final_words(call: str, final: Terminal | None, failure: Failure | None, delivered: int) -> Terminal:
    """Return how the final lane ended; `delivered` is the last ordinal that the client was given."""
    match final:
        case log.ResponseCompleted(reason=reason, usage=usage):
            return log.ResponseCompleted(call=call, lane="final", reason=reason, usage=usage)
        case log.ResponseFailed(error=error, message=message, status=status):
            return log.ResponseFailed(call=call, lane="final", error=error, message=message, status=status)
        case log.ResponseAborted(reason=reason):
            return log.ResponseAborted(call=call, lane="final", reason=reason, delivered=delivered)
    why = failure or LOG_LOST
    if why.by:
        return log.ResponseAborted(call=call, lane="final", reason=why.error, delivered=delivered, by=why.by)
    return log.ResponseFailed(call=call, lane="final", error=why.error, message=why.message, status=why.status)
