"""Several effects at once: rounds, keys, failures, bounds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from luthien_stream.core.program import Want
from luthien_stream.formats import LENSES
from luthien_stream.policy import Context, EffectFailed, Event, Events, Policy, Request, Text, run
from luthien_stream.policy.chain import Chain
from luthien_stream.policy.facts import CallFacts, Shared
from luthien_stream.policy.item import Item
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.testing.rig import request_body


class Asks(Policy):
    """Asks twice for `a`, once for `b`, both at the same time; `c` is there at once."""

    sees = frozenset({Text})

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        async for _ in events:
            found = await ctx.gather(self._ask(ctx, "a", 2), self._ask(ctx, "b", 1), self._ask(ctx, "c", 0))
            yield Text(repr(found))

    async def _ask(self, ctx: Context, name: str, times: int) -> str:
        said = name
        for number in range(times):
            said += str(await ctx._effect("judge", f"{name}{number}"))
        return said


def test_effects_of_one_round_are_wanted_together() -> None:
    """Keys go by the order of the awaitables and by rounds, and results keep their order."""
    rounds: list[list[tuple[str, Any]]] = []
    shared = Shared()
    out: list[Item] = []
    chain = Chain(Pipeline.of(Asks()), CallFacts("c"), shared, out.append)
    chain.start()
    chain.push(Text("x"))
    while wants := chain.wants():
        rounds.append([(want.key, want.args) for want in wants])
        for want in reversed(wants):
            shared.results[want.key] = want.args.upper()
            chain.decided()
    assert rounds == [[("0/response/0", "a0"), ("0/response/1", "b0")], [("0/response/2", "a1")]]
    assert out == [Text("['aA0A1', 'bB0', 'c']")]


def test_a_slow_one_holds_up_its_round() -> None:
    """Nothing goes on before all of the round are there: else keys would depend on what came first."""
    shared = Shared()
    chain = Chain(Pipeline.of(Asks()), CallFacts("c"), shared, lambda item: None)
    chain.start()
    chain.push(Text("x"))
    shared.results["0/response/0"] = 1
    chain.decided()
    assert [want.key for want in chain.wants()] == ["0/response/1"]
    shared.results["0/response/1"] = 1
    chain.decided()
    assert [want.key for want in chain.wants()] == ["0/response/2"]


class Gathers(Policy):
    """Gathers in the request phase, in itself and within; says what failed."""

    async def request(self, request: Request, ctx: Context) -> Request:
        inner = ctx.gather(ctx._effect("judge", 1), ctx._effect("judge", 2))
        try:
            found = await ctx.gather(ctx._effect("judge", 0), inner)
        except EffectFailed as error:
            found = [error.facts["error"]]
        return request.set("found", found)


def _request() -> Request:
    return LENSES["openai_chat"].request(request_body())


def test_gathers_nest_and_raise() -> None:
    """The request phase has them too; what one raises is raised, and the others are let go."""
    good = run(Gathers(), request=_request(), effects=lambda want: want.args)
    assert good.request is not None
    assert good.request.get("found") == [0, [1, 2]]
    bad = run(Gathers(), request=_request(), effects=lambda want: {"error": "timeout"} if want.args == 2 else 0)
    assert bad.request is not None
    assert bad.request.get("found") == ["timeout"]


def test_events_cannot_be_gathered() -> None:
    """The answer goes on by one event at a time; who mixes it with effects is told."""

    class Mixes(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            for event in (await ctx.gather(events.collect()))[0]:
                yield event

    (failure,) = run(Mixes(), [Text("a")]).failures
    assert (failure.error, "may be gathered" in failure.message) == ("ForeignAwait", True)


def test_effects_have_bounds() -> None:
    """Too many at once, and too many in all, fail the policy with what to do."""

    class Wide(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            await ctx.gather(*(ctx._effect("judge") for _ in range(65)))
            yield Text("")

    class Long(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            while True:
                await ctx._effect("judge")
            yield Text("")

    asked: list[Want] = []
    for policy in (Wide(), Long()):
        (failure,) = run(policy, effects=lambda want: asked.append(want)).failures
        assert failure.error == "TooManyEffects"
    assert len(asked) == 1_000


def test_what_the_log_cannot_hold_fails_where_it_is_asked() -> None:
    """Arguments of an effect are plain values."""

    class Odd(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            await ctx._effect("judge", object())
            yield Text("")

    (failure,) = run(Odd()).failures
    assert (failure.error, failure.message.startswith("test_gather.py:")) == ("TypeError", True)
