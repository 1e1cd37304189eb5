"""A pipeline as a program of the log: from a call's inputs to what the stage releases."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from luthien_stream.core.stagecall import StageCall
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    PolicyFailed,
    ProtocolViolated,
    RequestRefused,
    RequestReleased,
    ResponseAborted,
    ResponseCompleted,
    ResponseFailed,
    ResponseStarted,
    VerdictReached,
)
from luthien_stream.formats import LENSES
from luthien_stream.policy import Context, End, Event, Events, Policy, Refuse, Request, Stop, Text, Thinking
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.testing.rig import call_log, drive, frames, program, request_body
from luthien_stream.upstream.render import BODIES, STREAMS
from luthien_stream.upstream.script import Answer, Call, Say, Think, fragments, words

TEXT = Answer("m", (Say(words("Hello to the whole world.")),))
TOOLS = Answer("m", (Say(words("I look.")), Call("call_1", "Bash", fragments('{"command":"ls"}'))), "tool_calls")
THOUGHT = Answer("m", (Think(words("Let me see."), "c2lnbmVk"), Say(words("Here."))))


class Noop(Policy):
    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        async for event in events:
            yield event


class Fails(Policy):
    """Raises when it is given the text with this number."""

    at: int

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        count = 0
        async for event in events:
            count += isinstance(event, Text)
            if count > self.at:
                raise ValueError("broken")
            yield event


class Bounds(Policy):
    async def request(self, request: Request, ctx: Context) -> Request:
        return request.set_max_tokens(7)


class Refuses(Policy):
    async def request(self, request: Request, ctx: Context) -> Request:
        raise Refuse("Not here.", reason="rule 1")


def stream(form: str, answer: Answer = TEXT) -> list[AnyEvent]:
    return call_log(form, STREAMS[form](answer, True))


def body(form: str, answer: Answer = TEXT) -> list[AnyEvent]:
    return call_log(form, [BODIES[form](answer)], streamed=False)


def released(policies: Policy | Sequence[Policy], log: Sequence[AnyEvent]) -> list[AnyEvent]:
    """What the stage releases; a `StageCall` checks that it is a lane."""
    call = StageCall("c1", program(Pipeline.of(policies)))
    for event in log:
        call.feed("edge:e1", event, 1)
    return call.outputs


def types(events: Sequence[AnyEvent]) -> list[str]:
    """Names of events in order, chunks in a row once."""
    names = [type(event).__name__ for event in events]
    return [name for name, before in zip(names, ["", *names], strict=False) if name != before or "Chunk" not in name]


FORMS = pytest.mark.parametrize("form", list(LENSES))
BEGUN = {"anthropic_messages": 6, "openai_chat": 6, "openai_responses": 8}
"""Inputs until the second piece of an answer is there."""
ANSWERS = pytest.mark.parametrize("answer", [TEXT, TOOLS, THOUGHT], ids=["text", "tools", "thought"])


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
    assert "fails failed: test_program.py:" in end.message
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
