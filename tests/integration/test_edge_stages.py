"""Calls that pass two stages, each with workers of its own, and stages that nobody serves."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from luthien_stream.bus.memory import MemoryBus
from luthien_stream.config.model import Match
from luthien_stream.core.lens import Request
from luthien_stream.events import log
from luthien_stream.events.answer import Event, Text
from luthien_stream.policy.api import Policy, Refuse, Stop
from luthien_stream.policy.context import Context
from luthien_stream.policy.pipeline import Bound, Pipeline, name_of
from luthien_stream.policy.stages import Stages
from luthien_stream.policy.stream import Events
from tests.integration.edge_rig import FORMATS, request_body, running, working
from tests.wait import wait_until


class PassOn(Policy):
    """Yields what comes, and says so once."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield what comes."""
        ctx.verdict("allow", "passed on")
        async for event in events:
            yield event


class Shouts(Policy):
    """Text in upper case."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Shout."""
        async for event in events:
            yield event.with_text(event.text.upper()) if isinstance(event, Text) else event


class Bounds(Policy):
    """Asks for fewer tokens."""

    async def request(self, request: Request, ctx: Context) -> Request:
        """Bound it."""
        return request.set_max_tokens(7)


class Refuses(Policy):
    """Takes no request."""

    async def request(self, request: Request, ctx: Context) -> Request:
        """Refuse it."""
        raise Refuse("Not here.")


class Stops(Policy):
    """Ends every answer at its first text."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Stop it."""
        async for event in events:
            if isinstance(event, Text):
                raise Stop("No more.")
            yield event


def stages(*policies: Policy, on_error: str = "closed") -> Stages:
    """A stage each."""
    return Stages(
        tuple(
            Pipeline((Bound(name_of(type(policy)), policy, on_error),), f"s{number}")  # type: ignore[arg-type]
            for number, policy in enumerate(policies)
        )
    )


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("stream", [True, False])
async def test_two_stages_deliver_the_very_bytes(format: str, stream: bool) -> None:
    """Where neither changes anything; the verdicts of both are in the lane of the second."""
    async with running() as rig:
        plain = await rig.ask("text-20", format, stream=stream)
    async with running(stages=stages(PassOn(), PassOn())) as rig:
        got = await rig.ask("text-20", format, stream=stream)
        assert (got.status, got.body) == (plain.status, plain.body)
        await wait_until(lambda: rig.delivered(got.call))
        edge, final = rig.edge.id, f"stage:{rig.edge.plan.stages.keys[1]}"
        told = [
            (src, e) for stream, src, e in await rig.events(got.call) if edge in stream and src.startswith("stage:")
        ]
        lane = [event for src, event in told if src == final and event.n >= 0]
        assert [event.n for event in lane] == list(range(len(lane)))
        assert [type(event) for event in lane].count(log.VerdictReached) == 2
        assert {event.of for event in lane if isinstance(event, log.ChunkReleased)}.isdisjoint({-1})
        assert all(isinstance(event, log.ChunkSeen) for src, event in told if src != final)
        assert [call for found in rig.bus.data.partitions.values() for call in found.open] == []


async def test_both_stages_act() -> None:
    """The first on the request, the second on the answer."""
    async with running(stages=stages(Bounds(), Shouts())) as rig:
        got = await rig.ask("text-3")
        assert rig.provider.requests[0].json["max_tokens"] == 7
    async with running() as plain:
        assert got.body != (await plain.ask("text-3")).body


@pytest.mark.parametrize("refusing", [0, 1])
async def test_a_refusal_of_either_stage_is_the_answer(refusing: int) -> None:
    """The provider is not asked, and no stage keeps the call open."""
    policies = [Shouts(), Shouts()]
    policies[refusing] = Refuses()  # type: ignore[call-overload]
    async with running(stages=stages(*policies)) as rig:
        got = await rig.ask("text-3", "openai_chat")
        assert got.status == 200
        assert b"Not here." in got.body
        assert not rig.provider.requests
        await wait_until(lambda: not [c for found in rig.bus.data.partitions.values() for c in found.open])


async def test_a_second_stage_that_stops_an_answer_ends_the_first_ones_call_too() -> None:
    """And the provider is read no further."""
    async with running(stages=stages(PassOn(), Stops())) as rig:
        got = await rig.ask("stall-8")
        assert b"No more." in got.body
        await wait_until(lambda: rig.provider.requests[0].ended == "gone")
        await wait_until(lambda: not [c for found in rig.bus.data.partitions.values() for c in found.open])


async def test_a_stage_without_a_worker_is_named() -> None:
    """Calls that need it are refused; those that no policy of it matches are not."""
    one, two = stages(PassOn(), PassOn()).enforcing
    assert isinstance(one, Pipeline)
    assert isinstance(two, Pipeline)
    only = Pipeline((Bound("pass_on", PassOn(), match=Match(model="text-3")),), "s1")
    bus = MemoryBus()
    async with working(bus, one), running(stages=Stages((one, only)), bus=bus, workers=0) as rig:
        got = await rig.ask("text-3")
        assert got.status == 503
        assert b"stage s1" in got.body
        assert (await rig.ask("text-4")).status == 200
        assert "s1" in rig.edge.admission.not_ready


async def test_stages_are_bypassed_only_if_all_their_policies_are_open() -> None:
    """On record."""
    opened = stages(PassOn(), PassOn(), on_error="open")
    async with running(stages=opened, workers=0) as rig:
        got = await rig.ask("text-3")
        assert got.status == 200
        await wait_until(lambda: rig.delivered(got.call))
        assert (await rig.one(got.call, log.PolicyBypassed)).at == 0
    mixed = Stages((opened.enforcing[0], stages(PassOn(), Shouts()).enforcing[1]))
    async with running(stages=mixed, workers=0) as rig:
        assert (await rig.ask("text-3")).status == 503


async def test_policies_are_matched_by_the_user_of_a_request() -> None:
    """In the edge and in the worker alike: a call that no policy matches is relayed."""
    pipeline = Pipeline((Bound("shouts", Shouts(), match=Match(user="ann")), Bound("pass_on", PassOn())))
    async with running(pipeline=pipeline) as rig:
        loud = await rig.ask("text-3", fields={"metadata": {"user_id": "ann"}})
        quiet = await rig.ask("text-3", fields={"metadata": {"user_id": "bob"}})
        assert loud.body != quiet.body
        assert (await rig.all(loud.call, log.RequestReceived))[0].user == "ann"
    async with running(pipeline=Pipeline((Bound("shouts", Shouts(), match=Match(user="ann")),)), workers=0) as rig:
        assert (await rig.ask("text-3", body=request_body("text-3"))).status == 200
