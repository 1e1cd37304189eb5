"""Which way a call goes, by what its pipeline does."""

from __future__ import annotations

from collections.abc import AsyncIterator

from luthien_stream.edge.plan import Plan
from luthien_stream.events.answer import Event
from luthien_stream.policy.api import Policy
from luthien_stream.policy.context import Context
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.stream import Events

CALL = "01a214d7-b24c-7068-bf8e-a29ea46e8d8a"


class Idle(Policy):
    """Does nothing in either phase."""


class PassOn(Policy):
    """Takes part in the response."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield what comes."""
        async for event in events:
            yield event


def test_a_call_goes_through_the_phases_that_policies_take_part_in() -> None:
    """And its final lane is the stage's."""
    pipeline = Pipeline.of([Idle(), PassOn()])
    slip = Plan.of(pipeline).slip(CALL, "policed")
    assert [hop.phases for hop in slip.hops] == [("response",)]
    assert (slip.version, slip.final_by) == (pipeline.version, f"stage:{pipeline.stage}")


def test_a_pipeline_that_does_nothing_needs_no_worker() -> None:
    """Its calls are relayed, and still tell its version."""
    pipeline = Pipeline.of(Idle())
    plan = Plan.of(pipeline)
    assert plan.stage == ""
    assert plan.slip(CALL, "policed").hops == ()
    assert plan.slip(CALL, "policed").version == pipeline.version
