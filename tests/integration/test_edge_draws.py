"""Answers drawn by a stage behind others: they pass the policies of all stages before the caller, or do not come."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from luthien_stream.bus.memory import MemoryBus
from luthien_stream.events import log
from luthien_stream.events.answer import Event, ToolCall
from luthien_stream.events.slip import Hop, Slip
from luthien_stream.policy.api import Policy
from luthien_stream.policy.context import Context
from luthien_stream.policy.earlier import Earlier
from luthien_stream.policy.facts import CallFacts
from luthien_stream.policy.folding import Fold
from luthien_stream.policy.gate import ToolGate
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.stages import External, Stages
from luthien_stream.policy.stream import Events
from luthien_stream.policy.verdicts import Allow, Deny, Verdict
from tests.integration.edge_rig import FORMATS, running, working
from tests.wait import wait_until


class Swaps(Policy):
    """Delivers another model's answer."""

    hold = "turn"
    needs = frozenset({"sample"})

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Draw it."""
        await events.collect()
        async for event in ctx.sample("tools"):
            yield event


class Denies(ToolGate):
    """Allows no tool call."""

    async def check(self, call: ToolCall, ctx: Context) -> Verdict:
        """Deny it."""
        return Deny("no tools", "Not with us.")


class DeniesOnce(ToolGate):
    """Allows the tool calls of a session once one was denied."""

    fold = Fold(0, lambda state, delta: state + delta)

    async def check(self, call: ToolCall, ctx: Context) -> Verdict:
        """Count."""
        ctx.session.add(1)
        return Allow() if ctx.session.state else Deny("the first", "Not yet.")


def two(first: Policy, second: Policy) -> Stages:
    """A stage each."""
    return Stages((Pipeline(Pipeline.of(first).policies, "first"), Pipeline(Pipeline.of(second).policies, "second")))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_draw_of_a_later_stage_passes_the_gates_of_an_earlier_one(format: str, stream: bool) -> None:
    """The agent does not get the call, and the verdict on it is on record."""
    async with running(stages=two(Denies(), Swaps())) as rig:
        got = await rig.ask("text-3", format, stream=stream)
        assert got.status == 200
        assert b"Not with us." in got.body
        await wait_until(lambda: rig.delivered(got.call))
        said = await rig.all(got.call, log.VerdictReached)
        assert ("denies", "deny") in {(verdict.policy, verdict.kind) for verdict in said}


async def test_what_a_gate_before_keeps_of_the_session_holds_for_a_draw() -> None:
    """It reads what calls before have added."""
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01", "x-session-id": "run"}
    async with running(stages=two(DeniesOnce(), Swaps())) as rig:
        assert b"Not yet." in (await rig.ask("text-3", headers=headers)).body
        denied = await rig.ask("tools", headers=headers)
        assert b"Not yet." in denied.body
        await wait_until(lambda: rig.delivered(denied.call))
        assert b"Not yet." not in (await rig.ask("text-3", headers=headers)).body


async def test_nothing_is_drawn_behind_a_stage_whose_policies_are_not_known() -> None:
    """The call ends closed, and no model is asked."""
    stages = two(Denies(), Swaps())
    bus = MemoryBus()
    async with (
        working(bus, stages.pipelines[0]),
        working(bus, stages.pipelines[1]),
        running(stages=stages, bus=bus, workers=0) as rig,
    ):
        got = await rig.ask("text-3", stream=False)
        assert got.status == 503
        await wait_until(lambda: rig.delivered(got.call))
        failed = await rig.all(got.call, log.PolicyFailed)
        assert stages.keys[0] in failed[0].message
        assert len(rig.provider.requests) == 1


def test_an_external_stage_that_acts_on_requests_only_is_no_hindrance() -> None:
    """One that acts on answers is: what its workers would say cannot be known here."""
    slip = Slip(hops=(Hop("theirs@1", 0), Hop("second@x", 0)))
    asks = External("theirs", "1", ("request",))
    both = External("theirs", "1", ("request", "response"))
    assert Earlier.of(slip, "second@x", CallFacts(), {"theirs@1": asks}).unseen == ""
    assert Earlier.of(slip, "second@x", CallFacts(), {"theirs@1": both}).unseen == "theirs@1"
    assert Earlier.of(slip, "theirs@1", CallFacts(), {}).unseen == ""
