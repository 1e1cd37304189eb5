"""The laws find what they are made for."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest

from luthien_stream.events.log import ChunkReceived, ResponseFailed
from luthien_stream.formats import LENSES
from luthien_stream.policy import Context, End, Event, Events, Policy, Stop, Text, ToolCall
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.testing.laws import CORPUS, laws
from luthien_stream.testing.rig import call_log, drive, frames, perform, program
from luthien_stream.upstream.render import STREAMS


class Judges(Policy):
    """A well-behaved policy that asks about tool calls."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        async for event in events:
            if isinstance(event, ToolCall):
                score = await ctx._effect("judge", event.arguments)
                ctx.verdict("score", score=score, about=event.id)
            yield event


def test_a_good_policy_holds_to_them() -> None:
    """Effects included."""
    laws([Judges(), Judges()], effects=lambda want: len(want.key) / 100)


@pytest.mark.parametrize("form", LENSES)
@pytest.mark.parametrize("number", range(len(CORPUS)))
def test_a_stop_after_a_judgement_is_the_same_however_late_the_judgement(form: str, number: int) -> None:
    """What the provider sent meanwhile, its end too, plays no part in what is written."""

    class StopsAfter(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for event in events:
                if isinstance(event, Text):
                    await ctx._effect("judge", "once")
                    yield Text(f"stopped at {ctx.now}")
                    raise Stop
                yield event

    pipeline = Pipeline.of(StopsAfter())
    log = call_log(form, STREAMS[form](CORPUS[number], True))
    at_once = frames(drive(program(pipeline), log, lambda want: 1))
    late = program(pipeline)
    outputs = drive(late, log)
    outputs += perform(late, lambda want: 1)
    assert frames(outputs) == at_once
    assert at_once


def test_a_policy_that_waits_while_too_much_comes_fails_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept for it has a bound."""
    monkeypatch.setattr("luthien_stream.policy.response.HOLD_LIMIT", 2000)
    log = call_log("openai_chat", STREAMS["openai_chat"](CORPUS[2], True))
    assert sum(len(event.frame) for event in log if isinstance(event, ChunkReceived)) > 2000

    class Waits(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for event in events:
                await ctx._effect("judge", "for ever")
                yield event

    outputs = drive(program(Pipeline.of(Waits())), log)
    (failed,) = [event for event in outputs if isinstance(event, ResponseFailed)]
    assert (failed.error, "8 MiB" in failed.message) == ("policy_failed", True)


def test_counting_frames_is_found() -> None:
    """An answer must not depend on where the provider cut it."""

    class Counts(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            count = 0
            async for event in events:
                count += isinstance(event, Text)
                if count > 2:
                    yield End("length")
                    return
                yield event

    with pytest.raises(AssertionError, match="unstreamed"):
        laws(Counts())


def test_state_outside_the_call_is_found() -> None:
    """A second run over the same log must put out the same."""
    numbers = itertools.count()

    class Numbers(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            ctx.verdict("score", score=0)
            async for event in events:
                if isinstance(event, End):
                    ctx.verdict("score", score=next(numbers) // 5)
                yield event

    with pytest.raises(AssertionError):
        laws(Numbers(), CORPUS[:1])
