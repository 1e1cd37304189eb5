"""Two stages in a row: what the first releases is the second one's input, and all reaches the edge in one lane."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from luthien_stream.core.lens import Request
from luthien_stream.core.stagecall import Doom, StageCall
from luthien_stream.events import pack
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    Hop,
    PolicyFailed,
    RequestReceived,
    RequestRefused,
    RequestReleased,
    ResponseCompleted,
    ResponseFailed,
    Slip,
    VerdictReached,
)
from luthien_stream.formats import LENSES
from luthien_stream.policy import Context, Event, Events, Policy, Refuse, Stop, Text
from luthien_stream.policy.hop import HopProgram
from luthien_stream.policy.pipeline import Bound, Pipeline, name_of
from luthien_stream.testing.rig import call_log
from luthien_stream.upstream.render import BODIES, STREAMS
from luthien_stream.upstream.script import Answer, Call, Say, Think, fragments, words

ANSWER = Answer(
    "m",
    (Think(words("Let me see."), "c2lnbmVk"), Say(words("Hello to all.")), Call("c", "Bash", fragments('{"a":"ls"}'))),
    "tool_calls",
)
FORMS = pytest.mark.parametrize("form", list(LENSES))
BOTH: Any = ("request", "response")


class Noop(Policy):
    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        async for event in events:
            yield event


class Shouts(Policy):
    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        async for event in events:
            yield event.with_text(event.text.upper()) if isinstance(event, Text) else event


class Judges(Policy):
    """Says something about every text, after it has thought about the first one."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        thought = False
        async for event in events:
            if isinstance(event, Text):
                if not thought:
                    await ctx._effect("judge")
                thought = True
                ctx.verdict("allow", event.text)
            yield event


class Stops(Policy):
    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        async for event in events:
            if isinstance(event, Text):
                raise Stop("No more.")
            yield event


class Bounds(Policy):
    limit: int = 7

    async def request(self, request: Request, ctx: Context) -> Request:
        return request.set_max_tokens(self.limit)


class Reads(Policy):
    """Puts what it was asked into its verdict."""

    async def request(self, request: Request, ctx: Context) -> Request:
        ctx.verdict("allow", f"{request.max_tokens}")
        return request


class Refuses(Policy):
    async def request(self, request: Request, ctx: Context) -> Request:
        raise Refuse("Not here.", reason="rule 1")


def stage(name: str, *policies: Policy) -> Pipeline:
    return Pipeline(tuple(Bound(name_of(type(policy)), policy) for policy in policies), name)


class Chain:
    """Two stages, fed as their workers would: what is between them is written and read again."""

    def __init__(self, one: Pipeline, two: Pipeline, phases: Any = BOTH) -> None:
        self.names = [pipeline.stage for pipeline in (one, two)]
        self.slip = Slip("v", tuple(Hop(name, 0, phases) for name in self.names), f"stage:{two.stage}")
        self.stages = [StageCall("c1", HopProgram(pipeline, LENSES)) for pipeline in (one, two)]
        self.lanes: list[list[AnyEvent]] = [[], []]

    def feed(self, events: Sequence[AnyEvent]) -> None:
        """Feed the first stage."""
        for event in events:
            sent = replace(event, slip=self.slip) if isinstance(event, RequestReceived) else event
            self.stages[0].feed("edge:e1", sent, event.time)
            self.move(event.time)

    def move(self, now: int) -> None:
        """Take outputs on: with their bodies, as a worker fetches them."""
        for place, call in enumerate(self.stages):
            out, call.outputs = call.outputs, []
            self.lanes[place] += out
            bodies = dict(call.bodies)
            for event in pack.decode(pack.encode("", out)).events if place == 0 else ():
                if isinstance(event, RequestReceived | RequestReleased) and event.body_ref:
                    event.body = bodies[event.body_ref]
                self.stages[1].feed(f"stage:{self.names[0]}", event, now)

    @property
    def final(self) -> list[AnyEvent]:
        """What the edge gets."""
        return self.lanes[1]

    def of(self, kind: type[Any], place: int = 1) -> list[Any]:
        """Outputs of one type."""
        return [event for event in self.lanes[place] if isinstance(event, kind)]


def run(one: Pipeline, two: Pipeline, form: str = "openai_chat", *, streamed: bool = True, **more: Any) -> Chain:
    chunks = STREAMS[form](ANSWER, True) if streamed else [BODIES[form](ANSWER)]
    chain = Chain(one, two, more.pop("phases", BOTH))
    chain.feed(call_log(form, chunks, streamed=streamed, **more))
    return chain


@FORMS
@pytest.mark.parametrize("streamed", [True, False])
def test_two_stages_that_change_nothing_release_what_came(form: str, streamed: bool) -> None:
    """Every frame with its kind and its ordinal in the original lane, one terminal event."""
    chain = run(stage("one", Noop()), stage("two", Noop(), Reads()), form, streamed=streamed)
    chunks = STREAMS[form](ANSWER, True) if streamed else [BODIES[form](ANSWER)]
    kind = "frame" if streamed else "body"
    left = [(event.frame, event.kind, event.of) for event in chain.of(ChunkReleased)]
    assert left == [(raw, kind, 2 + place) for place, raw in enumerate(chunks)]
    assert isinstance(chain.final[-1], ResponseCompleted)
    assert all(call.done for call in chain.stages)


def test_the_request_is_handed_on_at_once_and_as_it_came() -> None:
    """A later stage knows the call before the first has decided about it; the edge is told nothing of it."""
    chain = run(stage("one", Bounds()), stage("two", Noop()))
    first, second = chain.lanes[0][:2]
    assert isinstance(first, RequestReceived)
    assert isinstance(second, RequestReleased)
    assert (first.n, first.slip, b'"max_tokens":1000' in first.body) == (0, chain.slip, True)
    assert chain.of(RequestReceived) == []


def test_a_changed_request_is_what_the_next_stage_reads_and_the_edge_sends() -> None:
    """Also where the later stage leaves it alone, and where it is too large for the log."""
    for filler in ("", "x" * 40_000):
        body = b'{"model":"m","max_tokens":1000,"stream":true,"messages":[{"role":"user","content":"%s"}]}'
        asked = body % filler.encode()
        chain = run(stage("one", Bounds()), stage("two", Reads()), request=asked)
        (released,) = chain.of(RequestReleased)
        sent = dict(chain.stages[1].bodies)[released.body_ref] if filler else released.body
        assert (released.changed, sent) == (True, asked.replace(b"1000", b"7"))
        assert [verdict.reason for verdict in chain.of(VerdictReached)] == ["7"]
        chain = run(stage("one", Bounds()), stage("two", Bounds(limit=3)), request=asked)
        (released,) = chain.of(RequestReleased)
        assert b'"max_tokens":3' in (dict(chain.stages[1].bodies)[released.body_ref] if filler else released.body)


@FORMS
def test_a_refusal_passes_through_the_later_stage(form: str) -> None:
    """As the first one made it: nobody shouts it."""
    chain = run(stage("one", Refuses()), stage("two", Shouts()), form)
    assert [type(event) for event in chain.final[:2]] == [RequestRefused, VerdictReached]
    assert [e.frame for e in chain.of(ChunkReleased)] == [e.frame for e in chain.of(ChunkReleased, 0)]
    assert b"Not here." in b"".join(event.frame for event in chain.of(ChunkReleased))
    assert isinstance(chain.final[-1], ResponseCompleted)
    assert all(call.done for call in chain.stages)


def test_a_policy_that_fails_before_the_request_is_released_ends_the_call_at_the_edge() -> None:
    """With the failure on the way."""

    class Breaks(Policy):
        async def request(self, request: Request, ctx: Context) -> Request:
            raise ValueError("broken")

    chain = run(stage("one", Breaks()), stage("two", Noop()))
    assert [type(event) for event in chain.final] == [PolicyFailed, ResponseFailed]


@FORMS
def test_what_a_stage_made_is_nobodys_chunk_further_on(form: str) -> None:
    """Frames that were changed have no ordinal of the original lane in either stage; the others keep theirs."""
    chain = run(stage("one", Shouts()), stage("two", Noop()), form)
    one, two = ([(e.frame, e.of) for e in chain.of(ChunkReleased, place)] for place in (0, 1))
    assert one == two
    assert {of < 0 for _, of in two} == {True, False}
    assert b"HELLO " in b"".join(frame for frame, of in two if of < 0)


def test_verdicts_of_the_first_stage_keep_their_order_while_the_second_waits() -> None:
    """They stand where they stand in the log, however long an effect takes: a second run releases the same."""
    lanes = []
    for late in (False, True):
        chain = Chain(stage("one", Judges()), stage("two", Judges()))
        events = call_log("openai_chat", STREAMS["openai_chat"](ANSWER, True))
        for place, event in enumerate(events):
            chain.feed([event])
            for number, call in enumerate(chain.stages):
                if not late or number == 0 or place == len(events) - 1:
                    for want in call.wants():
                        call.decide(want, "fine", chain.names[number], 1)
                    chain.move(1)
        lanes.append([(type(e), getattr(e, "frame", ""), getattr(e, "reason", "")) for e in chain.final])
    assert lanes[0] == lanes[1]
    said = [reason for kind, _, reason in lanes[0] if kind is VerdictReached]
    assert sorted(said) == sorted(2 * ["Hello ", "to ", "all."])


def test_a_stage_that_ends_the_call_ends_it_for_the_client() -> None:
    """The first closes when the edge says so, and what it says then is nobody's."""
    chain = Chain(stage("one", Noop()), stage("two", Stops()))
    events = call_log("openai_chat", STREAMS["openai_chat"](ANSWER, True))
    chain.feed(events[:8])
    assert isinstance(chain.final[-1], ResponseCompleted)
    length = len(chain.final)
    chain.stages[0].cut(Doom("final_lane_ended", ""), chain.names[0], 1)
    chain.move(1)
    assert (len(chain.final), chain.stages[0].done) == (length, True)


def test_stages_that_read_requests_only_release_and_are_done() -> None:
    """The edge relays the answer itself."""
    chain = run(stage("one", Bounds()), stage("two", Bounds(limit=3)), phases=("request",))
    assert [type(event) for event in chain.final] == [RequestReleased]
    assert all(call.done for call in chain.stages)


def test_a_stage_without_a_policy_for_answers_passes_them_on_for_the_others() -> None:
    """Its hop says that it is on the way of both phases."""
    chain = run(stage("one", Bounds()), stage("two", Shouts()), "anthropic_messages")
    came = STREAMS["anthropic_messages"](ANSWER, True)
    assert [event.frame for event in chain.of(ChunkReleased, 0)] == came
    assert [event.of for event in chain.of(ChunkReleased, 0)] == [2 + place for place in range(len(came))]


def test_a_run_of_the_second_stage_after_a_failover_is_the_same() -> None:
    """What was released is suppressed by ordinal and digest."""
    chain = run(stage("one", Shouts()), stage("two", Noop()), "anthropic_messages")
    for upto in range(1, len(chain.final)):
        before = chain.final[:upto]
        digest = chain.final[upto].prev
        call = StageCall("c1", HopProgram(stage("two", Noop()), LENSES), floor=len(before), digest=digest)
        for event in pack.decode(pack.encode("", chain.lanes[0])).events:
            call.feed(f"stage:{chain.names[0]}", event, 1)
        assert [replace(e, time=0) for e in call.outputs] == [replace(e, time=0) for e in chain.final[upto:]]


def test_the_provider_own_error_passes_both_stages_as_it_came() -> None:
    """No policy sees it."""
    chain = run(stage("one", Shouts()), stage("two", Shouts()), streamed=False, status=500)
    assert [event.frame for event in chain.of(ChunkReleased)] == [BODIES["openai_chat"](ANSWER)]
    (end,) = chain.of(ResponseFailed)
    assert (end.error, end.status) == ("provider_error", 500)


def test_a_chunk_under_the_ordinal_of_another_stage_is_not_taken_for_one_that_came() -> None:
    """The second stage's own ordinals are those of the first one's lane; `of` is still the edge's."""
    chain = run(stage("one", Judges()), stage("two", Noop()))
    received = [
        e for e in call_log("openai_chat", STREAMS["openai_chat"](ANSWER, True)) if isinstance(e, ChunkReceived)
    ]
    by_ordinal = {event.n: event.frame for event in received}
    assert all(by_ordinal[event.of] == event.frame for event in chain.of(ChunkReleased) if event.of >= 0)
