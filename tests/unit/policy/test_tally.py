"""What the terminal event says of each policy, on the log's clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from luthien_stream.events.log import AnyEvent, PolicyRan, ResponseCompleted, SampleRequested, Terminal
from luthien_stream.policy import (
    Allow,
    Context,
    Deny,
    End,
    Event,
    Events,
    Policy,
    Refuse,
    Request,
    Stop,
    Text,
    TextPolicy,
    ToolCall,
    Verdict,
    gate,
)
from luthien_stream.policy.pipeline import Bound, Pipeline
from luthien_stream.testing.laws import CORPUS
from luthien_stream.testing.rig import START, call_log, drive, perform, program, reply
from luthien_stream.upstream.render import STREAMS


class Noop(Policy):
    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        async for event in events:
            yield event


class Judges(Noop):
    """Judges the request, and the answer where it ends."""

    async def request(self, request: Request, ctx: Context) -> Request:
        ctx.verdict("score", score=await ctx._effect("judge"))
        return request

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        async for event in events:
            if isinstance(event, End):
                await ctx._effect("judge", timeout_s=5)
                ctx.verdict("rewrite")
                ctx.verdict("allow")
            yield event


class Fails(Noop):
    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        async for event in events:
            if isinstance(event, End):
                raise ValueError
            yield event


class Stops(Noop):
    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        async for _ in events:
            raise Stop
        yield Text("")


class Refuses(Policy):
    async def request(self, request: Request, ctx: Context) -> Request:
        raise Refuse


class Words(TextPolicy):
    """Decides on text up to the last space."""

    def edits(self, text: str, closed: bool) -> tuple[int, list[tuple[int, int, str]]]:
        return (len(text) if closed else text.rfind(" ") + 1), []


@gate()
async def guard(call: ToolCall, ctx: Context) -> Verdict:
    """Denies the second call."""
    return Deny() if call.id == "call_2" else Allow()


def log(number: int = 1) -> list[AnyEvent]:
    return call_log("openai_chat", STREAMS["openai_chat"](CORPUS[number], True))


def finished(policies: Any, number: int = 1, effects: Any = None) -> list[tuple[str, str, int]]:
    pipeline = policies if isinstance(policies, Pipeline) else Pipeline.of(policies)
    (end,) = [event for event in drive(program(pipeline), log(number), effects) if isinstance(event, Terminal)]
    return [(ran.name, ran.verdict, ran.held_us) for ran in end.policies]


def test_those_that_finished_are_named_in_order() -> None:
    """With the gravest of their verdicts; who failed is not among them."""
    assert finished([Noop(), Judges(), Noop()], effects=lambda want: 0.5) == [
        ("noop", "", 0),
        ("judges", "rewrite", 0),
        ("noop", "", 0),
    ]
    opened = Pipeline((Bound("a", Noop()), Bound("b", Fails(), "open"), Bound("c", Noop())))
    assert [name for name, *_ in finished(opened)] == ["a", "c"]
    assert finished([Noop(), Fails()]) == [("noop", "", 0)]
    assert finished([Stops(), Noop()]) == [("stops", "stop", 0), ("noop", "", 0)]
    assert finished([Noop(), Stops()]) == [("stops", "stop", 0)]
    assert finished([Judges(), Refuses(), Noop()], effects=lambda want: 1) == [
        ("judges", "score", 0),
        ("refuses", "deny", 0),
    ]


def test_what_is_held_counts_on_the_log_s_clock() -> None:
    """From when an event came in to when it left: a gate to the end of the turn, a tail of text to its word's end."""
    ((name, verdict, held),) = finished(guard, 3)
    assert (name, verdict) == ("guard", "deny")
    assert held % 1000 == 0
    assert held > 0
    ((_, _, held),) = finished(Words(), 0)
    assert 0 < held < 10_000


def test_effects_count_by_when_they_were_recorded() -> None:
    """And what a later policy waits for begins where the earlier one had got to."""
    made = program(Pipeline.of([Judges(), Judges()]))
    outputs: list[AnyEvent] = []
    for event in log():
        made.feed(event)
    times = [START + 5_000_000, START + 9_000_000, START + 20_000_000, START + 21_000_000]
    outputs += made.advance()
    while wants := made.wants():
        assert len(wants) == 1
        made.decide(wants[0].key, 1, "", times.pop(0))
        outputs += made.advance()
    end = outputs[-1]
    assert isinstance(end, ResponseCompleted)
    ended = log()[-2].time
    assert [ran.held_us for ran in end.policies] == [START + 20_000_000 - ended, 4_000_000]


@pytest.mark.parametrize("behind", [False, True])
def test_a_deadline_counts_from_where_the_call_has_got_to(behind: bool) -> None:
    """A judge that is asked after another one has its whole time, whoever waited before."""

    class Asks(Policy):
        hold = "turn"

        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            came = await events.collect()
            await ctx.judge("j", "?", "!", timeout_s=5)
            for event in came:
                yield event

    policies: list[Policy] = [Judges(), Asks()] if behind else [Asks()]
    made = program(Pipeline.of(policies))
    outputs = drive(made, log())
    if behind:
        (want,) = made.wants()
        made.decide(want.key, 1, "", START + 1)
        outputs += made.advance()
        (want,) = made.wants()
        made.decide(want.key, 1, "", START + 60_000_000)
        outputs += made.advance()
    (asked,) = [event for event in outputs if isinstance(event, SampleRequested)]
    assert asked.deadline == (START + 60_000_000 if behind else log()[-2].time) + 5_000_000
    perform(made, None, lambda asked: reply(asked, '{"score":0}'), outputs)
    assert made.over


def test_stages_before_come_first() -> None:
    """A later stage puts its own behind what it was given."""
    inputs = log()
    earlier = (PolicyRan("earlier", "1", "deny", 7),)
    assert isinstance(inputs[-1], ResponseCompleted)
    inputs[-1].policies = earlier
    (*_, end) = drive(program(Pipeline.of(Noop())), inputs)
    assert isinstance(end, ResponseCompleted)
    assert [ran.name for ran in end.policies] == ["earlier", "noop"]
