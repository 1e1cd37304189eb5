"""What `ctx` tells a policy: the same in every run of the same log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from luthien_stream.formats import LENSES
from luthien_stream.policy import CallFacts, Context, Event, Events, Policy, Text, run
from luthien_stream.testing.rig import request_body


class Draws(Policy):
    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        async for event in events:
            yield event
        yield Text(f"{ctx.random.random()} {ctx.uuid()}")

    sees = frozenset({Text})


def test_chance_comes_from_the_call() -> None:
    """A second run draws the same; another call, and another policy of the chain, do not."""
    first = run(Draws(), call=CallFacts("a")).text
    assert run(Draws(), call=CallFacts("a")).text == first
    assert run(Draws(), call=CallFacts("b")).text != first
    two = run([Draws(), Draws()], call=CallFacts("a")).text
    assert first in two
    assert two != first * 2


def test_time_is_that_of_the_event_in_hand() -> None:
    """No clock is read."""

    class Times(Policy):
        sees = frozenset({Text})

        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            async for event in events:
                yield event.with_text(f"{ctx.now} ") if isinstance(event, Text) else event

    assert run(Times(), [Text("a"), Text("b")], clock=lambda n: 100 + n).text == "100 101 "


def test_verdicts_name_policy_and_call() -> None:
    """A verdict is recorded where the policy gave it; `shown` and `reason` are kept apart."""

    class Scores(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            ctx.verdict("score", "why", shown="what", score=0.5, about=ctx.session.id)
            async for event in events:
                yield event

    (verdict,) = run(Scores(), call=CallFacts("c", session="s")).verdicts
    assert (verdict.call, verdict.policy, verdict.kind, verdict.phase) == ("c", "scores", "score", "response")
    assert (verdict.reason, verdict.shown, verdict.score, verdict.about) == ("why", "what", 0.5, "s")


def test_what_is_read_out_of_the_request() -> None:
    """Turns, whether it is a preflight, and token counts; without a request there are no turns."""
    seen: list[object] = []

    class Reads(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            seen.append(([turn.user for turn in ctx.turns], ctx.preflight, ctx.count_tokens("hello world")))
            async for event in events:
                yield event

    several: list[dict[str, Any]] = [{}, {"max_tokens": 1}]
    for fields in several:
        run(Reads(), request=LENSES["openai_chat"].request(request_body(**fields)))
    run(Reads())
    assert seen == [([("Hello",)], False, 2), ([("Hello",)], True, 2), ([], False, 2)]
