"""Effects: what a policy awaits of `ctx`, and that the time they take changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthien_stream.core.program import Want
from luthien_stream.events.log import Terminal
from luthien_stream.policy import Context, EffectFailed, End, Event, Events, Policy, Text, run
from luthien_stream.policy.chain import Chain
from luthien_stream.policy.context import CallFacts, Shared
from luthien_stream.policy.errors import MissingEffect
from luthien_stream.policy.item import Item
from luthien_stream.policy.pipeline import Bound, Pipeline


class Judges(Policy):
    """Asks about each text."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        async for event in events:
            if isinstance(event, Text):
                score = await ctx._effect("judge", event.text, timeout_s=100)
                ctx.verdict("score", score=score)
                yield Text(f"{event.text}{score}")
            else:
                yield event


class Marks(Policy):
    """Says for each text when it came in."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        async for event in events:
            yield Text(f"{event.text}@{ctx.now} ") if isinstance(event, Text) else event


def test_effects_have_keys_by_policy_phase_and_number() -> None:
    """The key is the same whenever the call is run, and timeouts are bounded by the policy's own."""
    wanted: list[Want] = []

    def answer(want: Want) -> int:
        wanted.append(want)
        return 7

    transcript = run(
        Pipeline((Bound("m", Marks()), Bound("j", Judges(), timeout_s=5))), [Text("a"), Text("b")], effects=answer
    )
    assert [(w.key, w.kind, w.args, w.timeout_s) for w in wanted] == [
        ("1/response/0", "judge", "a@0 ", 5),
        ("1/response/1", "judge", "b@1000 ", 5),
    ]
    assert transcript.text == "a@0 7b@1000 7"
    assert transcript.effects == {"1/response/0": 7, "1/response/1": 7}


def test_a_recorded_run_needs_its_effects() -> None:
    """A missing result is named, never made up."""
    assert run(Judges(), [Text("a")], effects={"0/response/0": 3}).text == "a3"
    with pytest.raises(MissingEffect, match="0/response/0"):
        run(Judges(), [Text("a")], effects={})


def test_a_recorded_failure_raises_in_the_policy() -> None:
    """A policy may catch it; if it does not, it has failed."""

    class Catches(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            try:
                await ctx._effect("judge")
            except EffectFailed as error:
                yield Text(error.facts["error"])

    timeout = {"0/response/0": {"error": "timeout", "message": "No result within 30.0 s"}}
    assert run(Catches(), effects=timeout).text == "timeout"
    failed = run(Judges(), [Text("a")], effects=timeout)
    assert [f.error for f in failed.failures] == ["EffectFailed"]


class Limits(Policy):
    """Ends the answer behind its first text."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        async for event in events:
            yield event
            if isinstance(event, Text):
                yield End("length")


class Fails(Policy):
    """Raises at the second text."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        seen = False
        async for event in events:
            if seen and isinstance(event, Text):
                raise ValueError("broken")
            seen = seen or isinstance(event, Text)
            yield event


class Ran:
    """A chain with its outputs, the effects decided in the order that the test says."""

    def __init__(self, pipeline: Pipeline, known: bool) -> None:
        self.out: list[Item] = []
        self.shared = Shared()
        if known:
            keys = [f"{policy}/response/{number}" for policy in range(4) for number in range(3)]
            self.shared.results.update({key: _score(key) for key in keys})
        self.chain = Chain(pipeline, CallFacts("c"), self.shared, self._sink)
        self.chain.start()

    def _sink(self, item: Item) -> None:
        if not (self.out and isinstance(self.out[-1], Terminal)):
            self.out.append(item)

    def push(self, now: int, item: Item) -> None:
        self.shared.now = now
        self.chain.push(item)

    def decide(self, key: str) -> None:
        self.shared.results[key] = _score(key)
        self.chain.decided()

    def settle(self) -> list[Item]:
        while wants := self.chain.wants():
            self.decide(wants[-1].key)
        return self.out


def _score(key: str) -> float:
    return float(len(key) + int(key[-1]) + int(key[0]))


RULES = st.tuples(st.sampled_from([Judges, Judges, Marks, Limits, Fails]), st.sampled_from(["closed", "open"]))


@given(st.lists(RULES, min_size=1, max_size=4), st.lists(st.integers(0, 3), min_size=14, max_size=14))
def test_the_lane_does_not_depend_on_when_effects_come(rules: list[Any], choices: list[int]) -> None:
    """Texts, verdicts, failures, times and frames that no policy sees come out in one order, whatever is late."""
    pipeline = Pipeline(tuple(Bound(f"p{i}", policy(), on_error) for i, (policy, on_error) in enumerate(rules)))
    inputs: list[Item] = [b"ping 1", Text("a"), b"ping 2", Text("b"), Text("c"), b"ping 3", End("stop")]
    known, late = Ran(pipeline, known=True), Ran(pipeline, known=False)
    for now, item in enumerate(inputs):
        known.push(now, item)
        late.push(now, item)
        for choice in choices[now * 2 : now * 2 + 2]:
            wants = late.chain.wants()
            if choice < len(wants):
                late.decide(wants[choice].key)
    assert late.settle() == known.out
