"""How a stage ends a call where the answer did not end well: errors, cuts, garbage, clients that left."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from luthien_stream.events.log import (
    ChunkReceived,
    ChunkReleased,
    PolicyFailed,
    ProtocolViolated,
    ResponseAborted,
    ResponseCompleted,
    ResponseFailed,
    ResponseStarted,
)
from luthien_stream.policy import Context, End, Event, Events, Policy, Thinking
from luthien_stream.testing.rig import call_log, frames
from tests.unit.policy.programs import (
    BEGUN,
    FORMS,
    THOUGHT,
    Fails,
    Noop,
    released,
    stream,
    types,
)


@FORMS
def test_a_providers_error_passes_unseen(form: str) -> None:
    """Status and body leave as they came; no policy runs."""
    inputs = call_log(form, [b'{"error":"no"}'], streamed=False, status=529)
    inputs[-1] = ResponseFailed(
        call="c1", n=inputs[-1].n, lane="original", error="provider_error", message="no", status=529
    )
    _, started, chunk, end = released(Fails(0), inputs)
    assert isinstance(started, ResponseStarted)
    assert isinstance(chunk, ChunkReleased)
    assert isinstance(end, ResponseFailed)
    assert (started.status, chunk.frame, chunk.kind, chunk.of) == (529, b'{"error":"no"}', "body", 2)
    assert (end.error, end.status, end.message, end.lane) == ("provider_error", 529, "no", "final")


@FORMS
@pytest.mark.parametrize("error", ["upstream_cut", "upstream_timeout"])
def test_an_answer_that_breaks_off_fails_with_the_same_error(form: str, error: str) -> None:
    """Policies see `End("cut")` and may flush; no good end is made up."""
    seen: list[str] = []

    class Looks(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for event in events:
                if isinstance(event, End):
                    seen.append(event.reason)
                yield event

    inputs = stream(form)[: BEGUN[form]]
    inputs.append(ResponseFailed(call="c1", n=len(inputs), lane="original", error=error, message="it broke"))
    outputs = released([Looks()], inputs)
    end = outputs[-1]
    assert isinstance(end, ResponseFailed)
    assert (end.error, end.message, end.lane, seen) == (error, "it broke", "final", ["cut"])
    assert frames(outputs) == [event.frame for event in inputs if isinstance(event, ChunkReceived)]


@FORMS
def test_a_stream_that_just_ends_is_cut(form: str) -> None:
    """A provider that closes its stream before its end has failed, whatever the edge saw."""
    inputs = stream(form)[:6]
    inputs.append(ResponseCompleted(call="c1", n=6, lane="original"))
    end = released(Noop(), inputs)[-1]
    assert isinstance(end, ResponseFailed)
    assert end.error == "upstream_cut"


@FORMS
def test_a_provider_that_was_never_reached(form: str) -> None:
    """The lane ends with the same error, without a status."""
    inputs = [*stream(form)[:1], ResponseFailed(call="c1", n=1, lane="original", error="upstream_unreachable")]
    outputs = released(Noop(), inputs)
    assert types(outputs) == ["RequestReleased", "ResponseFailed"]


@FORMS
def test_a_client_that_left_ends_the_lane(form: str) -> None:
    """The reason is kept."""
    inputs = [*stream(form)[:4], ResponseAborted(call="c1", n=4, lane="original", reason="client_disconnected")]
    end = released(Noop(), inputs)[-1]
    assert isinstance(end, ResponseAborted)
    assert (end.lane, end.reason) == ("final", "client_disconnected")


@FORMS
def test_garbage_closes_the_call(form: str) -> None:
    """A frame that cannot be read never passes by the policies; what came before it has left."""
    begun = BEGUN[form]
    inputs = stream(form)[:begun]
    inputs.append(ChunkReceived(call="c1", n=begun, frame=b"data: {\n\n"))
    inputs.append(ChunkReceived(call="c1", n=begun + 1, frame=b"data: later\n\n"))
    outputs = released(Noop(), inputs)
    violated, end = outputs[-2:]
    assert isinstance(violated, ProtocolViolated)
    assert isinstance(end, ResponseFailed)
    assert (violated.by, violated.at, end.error) == ("provider", begun, "upstream_protocol")
    assert frames(outputs) == [event.frame for event in inputs[:begun] if isinstance(event, ChunkReceived)]


def test_what_cannot_be_framed_closes_the_call() -> None:
    """Half a part of signed thinking would be refused by the provider in the next turn."""

    class Halves(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            first = True
            async for event in events:
                if not (isinstance(event, Thinking) and not first):
                    yield event
                first = first and not isinstance(event, Thinking)

    failed, end = released(Halves(), stream("anthropic_messages", THOUGHT))[-2:]
    assert isinstance(failed, PolicyFailed)
    assert isinstance(end, ResponseFailed)
    assert (failed.policy, failed.error, end.error) == ("main", "FrameError", "policy_failed")
