"""Asking a person: what is held, whose answer counts, and what a gate makes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from luthien_stream.core.stagecall import StageCall
from luthien_stream.events.log import (
    AnyEvent,
    ApprovalDecided,
    CallHeld,
    EffectRecorded,
    Hop,
    PolicyFailed,
    RequestReceived,
    ResponseFailed,
    Slip,
)
from luthien_stream.formats import LENSES
from luthien_stream.policy import (
    Approval,
    CallFacts,
    Context,
    End,
    Event,
    Events,
    Hold,
    Policy,
    Request,
    Score,
    Stop,
    Text,
    ToolCall,
    Verdict,
    gate,
    run,
)
from luthien_stream.policy.asking import digest
from luthien_stream.policy.pipeline import Bound, Pipeline
from luthien_stream.testing.laws import CORPUS, laws
from luthien_stream.testing.rig import START, call_log, program
from luthien_stream.upstream.render import STREAMS

CALLS: list[Event] = [
    Text("I do."),
    ToolCall("1", "Bash", '{"b":1,"a":2}'),
    ToolCall("2", "Bash", "{"),
    End("tool_calls"),
]


@gate("Bash")
async def person(call: ToolCall, ctx: Context) -> Verdict:
    """Everything is for a person to decide."""
    return Hold("risky", shown="Not without a person.", timeout_s=60)


def answered(value: Any, policy: Policy = person) -> Any:
    return run(policy, CALLS, effects=lambda want: value, call=CallFacts("c", session="s", model="m"))


def test_what_is_held_is_said_at_once() -> None:
    """Both calls are asked about before either is answered; the digest is over tool, arguments and version."""
    transcript = answered({"decision": "approve", "by": "ann"})
    first, second = transcript.held
    assert (first.key, second.key) == ("0/response/0", "0/response/1")
    subject = first.subject
    assert (subject["tool"], subject["arguments"], subject["id"]) == ("Bash", '{"b":1,"a":2}', "1")
    assert (subject["reason"], subject["session"], subject["model"], subject["policy"]) == ("risky", "s", "m", "person")
    assert subject["digest"] == digest(ToolCall("9", "Bash", '{ "a": 2, "b": 1 }'), "") != second.subject["digest"]
    assert digest(ToolCall("1", "Bash", '{"b":1,"a":2}'), "other") != subject["digest"]
    assert first.deadline == 3_000 + 60_000_000
    assert [v.kind for v in transcript.verdicts] == ["hold", "hold", "allow", "allow"]
    assert [v.reason for v in transcript.verdicts][2:] == ["approved by ann"] * 2


@pytest.mark.parametrize(
    ("value", "said", "calls"),
    [
        ({"decision": "approve", "by": "ann", "args": None}, "I do.", ['{"b":1,"a":2}', "{"]),
        ({"decision": "modify", "by": "ann", "args": {"a": 3}}, "I do.", ['{"a":3}', '{"a":3}']),
        ({"decision": "reject", "by": "ann"}, "I do.\n\nNot without a person.", []),
        ({"decision": "expired", "by": ""}, "I do.\n\nNot without a person.", []),
        ({"error": "timeout", "message": "No result within 60 s"}, "I do.\n\nNot without a person.", []),
    ],
)
def test_an_answer_is_applied(value: Any, said: str, calls: list[str]) -> None:
    """Only arguments may be changed; whoever rejects or says nothing lets nothing through."""
    transcript = answered(value)
    assert transcript.text == said
    assert [call.arguments for call in transcript.tool_calls] == calls
    assert all(call.name == "Bash" for call in transcript.tool_calls)


@pytest.mark.parametrize("value", [{"decision": "perhaps"}, "yes", None, {"error": "failed", "message": "KeyError"}])
def test_what_is_no_answer_fails_closed(value: Any) -> None:
    """Nothing passes by an answer that nobody understands."""
    transcript = answered(value)
    assert transcript.failed
    assert transcript.tool_calls == []


@pytest.mark.parametrize(
    ("on_timeout", "calls", "reason"), [("deny", 0, "tool_calls"), ("stop", 0, "stop"), ("allow", 2, "tool_calls")]
)
def test_silence_is_what_the_hold_says(on_timeout: Any, calls: int, reason: str) -> None:
    """A hold that expires denies, stops or allows."""

    @gate()
    async def waits(call: ToolCall, ctx: Context) -> Verdict:
        return Hold(on_timeout=on_timeout)

    transcript = answered({"decision": "expired"}, waits)
    assert (len(transcript.tool_calls), transcript.reason) == (calls, reason)


def test_verdicts_are_applied_in_the_order_of_the_calls() -> None:
    """A stop that is there at once waits for the verdicts before it; a score is recorded and lets the call through."""

    @gate()
    async def mixed(call: ToolCall, ctx: Context) -> Verdict:
        if call.id == "2":
            return Stop("Over.")
        return Score(await ctx._effect("judge"), "seems fine")

    transcript = run(mixed, CALLS, effects=lambda want: 0.25)
    assert [(v.kind, v.score) for v in transcript.verdicts] == [("score", 0.25), ("stop", None)]
    assert transcript.tool_calls == []


def test_a_gate_with_people_holds_to_the_laws() -> None:
    """Answers that come late change nothing."""
    laws([person, person], CORPUS[3:], effects=lambda want: {"decision": "approve", "by": want.key})


def _held(policies: Pipeline, log: list[AnyEvent]) -> StageCall:
    call = StageCall("c1", program(policies))
    for event in log:
        call.feed("edge:e1", event, 1)
    return call


def test_an_answer_to_something_else_is_none() -> None:
    """An answer names what it decided on; only the one that names what is asked now is taken."""
    pipeline = Pipeline((Bound("person", person, version="1"),))
    log = call_log("openai_chat", STREAMS["openai_chat"](CORPUS[4], True))
    call = _held(pipeline, log)
    (held,) = [event for event in call.outputs if isinstance(event, CallHeld)]
    assert (held.stage, held.partition >= 0) == (pipeline.stage, True)
    (want,) = call.wants()
    assert want.args == {"digest": held.subject["digest"], "deadline": held.deadline, "subject": held.subject}
    call.feed("cli:1", ApprovalDecided(call="c1", key=held.key, decision="approve", digest="f" * 64), 2)
    assert call.answer(want) is None
    call.feed(
        "cli:2", ApprovalDecided(call="c1", key=held.key, decision="reject", by="bo", digest=want.args["digest"]), 3
    )
    assert call.answer(want) == {"decision": "reject", "by": "bo", "args": None}


def test_the_slip_says_where_answers_go() -> None:
    """A call keeps its partition, whatever a later release makes of its id."""
    pipeline = Pipeline.of(person)
    log = call_log("openai_chat", STREAMS["openai_chat"](CORPUS[4], True))
    assert isinstance(log[0], RequestReceived)
    log[0].slip = Slip(hops=(Hop("other@1", 2), Hop(pipeline.stage, 7)))
    (held,) = [event for event in _held(pipeline, log).outputs if isinstance(event, CallHeld)]
    assert held.partition == 7


class Judges(Policy):
    """Asks with what its field says."""

    about: str
    on: str = "response"

    async def request(self, request: Request, ctx: Context) -> Request:
        return request.set("judged", await ctx._effect("judge", self.about)) if self.on == "request" else request

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        async for event in events:
            if isinstance(event, End) and self.on == "response":
                await ctx._effect("judge", {"b": self.about, "a": 1})
            yield event


@pytest.mark.parametrize("on", ["request", "response"])
@pytest.mark.parametrize("on_error", ["closed", "open"])
def test_another_question_under_the_same_key_ends_the_call(on: str, on_error: Any) -> None:
    """The log has the answer to another question: whatever the policy says about failures, the call ends."""
    log = call_log("openai_chat", STREAMS["openai_chat"](CORPUS[1], True))
    first = _held(Pipeline((Bound("judges", Judges("one", on)),)), log)
    (want,) = first.wants()
    first.decide(want, 0.5, "s", START)
    (record,) = [event for event in first.records if isinstance(event, EffectRecorded)]
    assert len(record.of) == 16
    for about, same in (("one", True), ("two", False)):
        call = StageCall("c1", program(Pipeline((Bound("judges", Judges(about, on), on_error),))))
        for event in [log[0], record, *log[1:]]:
            call.feed("edge:e1", event, 1)
        failures = [event for event in call.outputs if isinstance(event, PolicyFailed)]
        assert [f.error for f in failures] == [] if same else ["Nondeterminism"]
        if not same:
            (failure,) = failures
            assert failure.went == "closed"
            assert failure.message.startswith("test_asking.py:")
            assert f"another judge than the one on record as effect 0 of its {on} phase" in failure.message
            assert isinstance(call.outputs[-1], ResponseFailed)
            assert "judges" in call.outputs[-1].message


def test_a_policy_has_the_request() -> None:
    """In its request phase as it was given, in the response as it was released."""

    class Sees(Policy):
        name: str

        async def request(self, request: Request, ctx: Context) -> Request:
            ctx.verdict("score", ctx.request.model)
            return request.set_model(self.name)

        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            ctx.verdict("score", ctx.request.model)
            async for event in events:
                yield event

    given = LENSES["openai_chat"].request(b'{"model":"m","messages":[{"role":"user","content":"Hi"}]}')
    assert [v.reason for v in run([Sees("x"), Sees("y")], request=given).verdicts] == ["m", "x", "y", "y"]
    (failure,) = run(Sees("x")).failures
    assert "no request in this run" in failure.message


def test_an_approval_reads_what_was_recorded() -> None:
    """What the owner wrote is all there is."""
    assert Approval.of({"decision": "modify", "by": "ann", "args": [1]}) == Approval("modify", "ann", [1])
