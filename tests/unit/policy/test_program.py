"""A pipeline as a program of the log: from a call's inputs to what the stage releases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from luthien_stream.core.stagecall import StageCall
from luthien_stream.events.log import (
    ChunkReceived,
    ChunkReleased,
    PolicyFailed,
    RequestRefused,
    RequestReleased,
    ResponseCompleted,
    ResponseFailed,
    VerdictReached,
)
from luthien_stream.formats import LENSES
from luthien_stream.policy import Context, Event, Events, Policy, Request, Stop, Text
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.testing.rig import call_log, drive, frames, program, request_body
from luthien_stream.upstream.script import Answer
from tests.unit.policy.programs import (
    ANSWERS,
    FORMS,
    TOOLS,
    Bounds,
    Fails,
    Noop,
    Refuses,
    body,
    released,
    stream,
    types,
)


@FORMS
@ANSWERS
@pytest.mark.parametrize("log", [stream, body])
def test_what_nobody_changes_leaves_as_it_came(form: str, answer: Answer, log: Any) -> None:
    """Every frame is the provider's own object, names the chunk it is, and keeps its kind."""
    inputs = log(form, answer)
    outputs = released([Noop(), Noop()], inputs)
    came = [event for event in inputs if isinstance(event, ChunkReceived)]
    left = [event for event in outputs if isinstance(event, ChunkReleased)]
    assert [(e.frame, e.n, e.kind) for e in came] == [(e.frame, e.of, e.kind) for e in left]
    assert all(a.frame is b.frame for a, b in zip(came, left, strict=True))
    assert types(outputs) == ["RequestReleased", "ResponseStarted", "ChunkReleased", "ResponseCompleted"]
    assert outputs[-1].reason == ("tool_calls" if answer is TOOLS else "stop")  # type: ignore[union-attr]


@FORMS
def test_an_unchanged_request_is_released_without_its_body(form: str) -> None:
    """The edge has it already; a changed one replaces it."""
    (unchanged,) = released(Noop(), stream(form)[:1])
    assert isinstance(unchanged, RequestReleased)
    assert (unchanged.changed, unchanged.body, unchanged.model) == (False, b"", "m")
    (changed,) = released([Noop(), Bounds()], stream(form)[:1])
    assert isinstance(changed, RequestReleased)
    assert changed.changed
    assert changed.body_size == len(changed.body)
    assert LENSES[form].request(changed.body).max_tokens == 7


@FORMS
def test_a_pipeline_over_requests_only_is_over_then(form: str) -> None:
    """The edge relays the answer straight."""
    made = program(Pipeline.of(Bounds()))
    assert types(drive(made, stream(form)[:1])) == ["RequestReleased"]
    assert made.over


@FORMS
@pytest.mark.parametrize("streamed", [True, False])
def test_a_refused_request_is_answered_in_its_format(form: str, streamed: bool) -> None:
    """The agent gets a whole turn that says so, and the provider is never asked."""
    outputs = released([Refuses(), Noop()], call_log(form, [], streamed=streamed))
    assert types(outputs) == ["RequestRefused", "VerdictReached", "ChunkReleased", "ResponseCompleted"]
    refused, verdict = outputs[0], outputs[1]
    assert isinstance(refused, RequestRefused)
    assert isinstance(verdict, VerdictReached)
    assert (refused.policy, refused.reason, refused.shown) == ("refuses", "rule 1", "Not here.")
    assert (verdict.kind, verdict.phase, verdict.reason) == ("deny", "request", "rule 1")
    assert b"Not here." in b"".join(frames(outputs))


@FORMS
def test_a_failing_request_policy_closes_the_call(form: str) -> None:
    """The request is not released."""

    class Breaks(Policy):
        async def request(self, request: Request, ctx: Context) -> Request:
            raise ValueError("broken")

    class Forgets(Policy):
        async def request(self, request: Request, ctx: Context) -> Request:
            return None  # type: ignore[return-value]

    for policy in (Breaks(), Forgets()):
        failed, end = released(policy, stream(form)[:1])
        assert isinstance(failed, PolicyFailed)
        assert isinstance(end, ResponseFailed)
        assert (failed.phase, failed.went, end.error) == ("request", "closed", "policy_failed")
        assert "test_program.py" in failed.message


class Something:
    """Awaitable, and nothing that the engine knows."""

    def __await__(self) -> Generator[str, None, None]:
        yield "something"


@FORMS
def test_whatever_a_request_policy_does_costs_its_call_only(form: str) -> None:
    """One that exits, is no coroutine, or does not let go, ends its call like any other failure."""

    class Exits(Policy):
        async def request(self, request: Request, ctx: Context) -> Request:
            raise SystemExit(1)

    class IsPlain(Policy):
        def request(self, request: Request, ctx: Context) -> Request:  # type: ignore[override]
            return request

    class RaisesAtOnce(Policy):
        def request(self, request: Request, ctx: Context) -> Any:
            raise ValueError("broken")

    class Clings(Policy):
        async def request(self, request: Request, ctx: Context) -> Request:
            for _ in range(2):  # does not let go the first time
                with suppress(BaseException):
                    await Something()
            return request

    for policy in (Exits(), IsPlain(), RaisesAtOnce(), Clings()):
        failed, end = released(policy, stream(form)[:1])
        assert isinstance(failed, PolicyFailed)
        assert isinstance(end, ResponseFailed)
        assert (failed.phase, end.error) == ("request", "policy_failed")


@FORMS
@pytest.mark.parametrize("log", [stream, body])
def test_a_failure_before_the_first_byte_releases_nothing(form: str, log: Any) -> None:
    """No frame of the answer leaves but those that no policy sees."""
    outputs = released(Fails(0), log(form))
    assert types(outputs)[-2:] == ["PolicyFailed", "ResponseFailed"]
    assert b"Hello" not in b"".join(frames(outputs))


@FORMS
def test_a_failure_later_keeps_what_has_left(form: str) -> None:
    """Nothing that would look like a good end follows it."""
    outputs = released([Fails(2), Noop()], stream(form))
    end = outputs[-1]
    assert isinstance(end, ResponseFailed)
    assert (end.error, end.lane) == ("policy_failed", "final")
    assert "fails failed: programs.py:" in end.message
    text = b"".join(frames(outputs))
    assert b"to " in text
    assert b"world" not in text
    assert b"message_stop" not in text
    assert b"[DONE]" not in text


@FORMS
@pytest.mark.parametrize("log", [stream, body])
def test_stop_ends_the_answer_before_the_provider_does(form: str, log: Any) -> None:
    """The lane is complete at once; what the provider still sends is not for the client."""

    class Stops(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for event in events:
                if isinstance(event, Text):
                    raise Stop("No more.")
                yield event

    inputs = log(form)
    call = StageCall("c1", program(Pipeline.of([Stops(), Noop()])))
    fed = 0
    while not call.over:
        call.feed("edge:e1", inputs[fed], 1)
        fed += 1
    assert types(call.outputs)[-3:] == ["VerdictReached", "ChunkReleased", "ResponseCompleted"]
    assert fed < len(inputs)
    assert b"No more." in b"".join(frames(call.outputs))
    assert b"Hello" not in b"".join(frames(call.outputs))


def test_several_answers_cannot_be_policed() -> None:
    """The edge answers 400 with the objection; should such a call come here, it ends."""
    request = request_body(n=2)
    seen = LENSES["openai_chat"].request(request)
    text = Pipeline.of(Noop()).objection(seen)
    assert text is not None
    assert text.startswith("n=2")
    assert Pipeline.of(Bounds()).objection(seen) is None
    (end,) = released(Noop(), call_log("openai_chat", [], request=request)[:1])
    assert isinstance(end, ResponseFailed)
    assert end.error == "bad_request"


@pytest.mark.parametrize(("form", "request_"), [("openai_chat", b"{"), ("morse", request_body())])
def test_a_request_that_cannot_be_read_ends_the_call(form: str, request_: bytes) -> None:
    """Nothing unread is released."""
    (end,) = released(Noop(), call_log(form, [], request=request_)[:1])
    assert isinstance(end, ResponseFailed)
    assert end.error == "bad_request"


@FORMS
def test_a_request_that_waits_lets_nothing_by(form: str) -> None:
    """Inputs that come meanwhile are taken after it, in order."""

    class Asks(Policy):
        async def request(self, request: Request, ctx: Context) -> Request:
            ctx.verdict("score", score=await ctx._effect("judge", {"model": request.model}))
            return request

    made = program(Pipeline.of([Asks(), Noop()]))
    assert drive(made, stream(form)) == []
    (want,) = made.wants()
    assert (want.key, want.kind, want.args) == ("0/request/0", "judge", {"model": "m"})
    made.decide(want.key, 0.25)
    outputs = made.advance()
    assert types(outputs)[:2] == ["VerdictReached", "RequestReleased"]
    assert isinstance(outputs[-1], ResponseCompleted)
    assert made.wants() == ()


@FORMS
@pytest.mark.parametrize("fed", range(6))
def test_a_call_can_be_cut_anywhere(form: str, fed: int) -> None:
    """The lane ends there with the reason, and nothing follows."""
    made = program(Pipeline.of(Noop()))
    drive(made, stream(form)[:fed])
    end = made.cut("stalled", "No progress for a while")[-1]
    assert isinstance(end, ResponseFailed)
    assert (end.error, end.message, end.lane, made.over) == ("stalled", "No progress for a while", "final", True)
    assert made.cut("again", "") == []
    assert drive(made, stream(form)[fed:]) == []


@FORMS
def test_the_lane_can_be_encoded(form: str) -> None:
    """Every output is an event as the log writes it."""
    for event in released([Fails(2)], stream(form, TOOLS)):
        assert msgspec.msgpack.encode(event)
