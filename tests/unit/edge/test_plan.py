"""Which way a call goes, by what the stages in force do and which calls their policies match."""

from __future__ import annotations

from collections.abc import AsyncIterator

from luthien_stream.config.model import Match
from luthien_stream.core.lens import Request
from luthien_stream.edge.plan import Plan
from luthien_stream.events.answer import Event
from luthien_stream.events.log import Slip
from luthien_stream.policy.api import Policy
from luthien_stream.policy.context import CallFacts, Context
from luthien_stream.policy.pipeline import Bound, Pipeline
from luthien_stream.policy.stages import External, Stages
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


class Asks(Policy):
    """Takes part in the request."""

    async def request(self, request: Request, ctx: Context) -> Request:
        """Leave it."""
        return request


def slip(stages: Stages, *, model: str = "m", user: str = "") -> Slip:
    """The slip of a call with these facts."""
    plan = Plan(stages)
    return plan.slip(plan.hops(CALL, CallFacts(model=model, user=user)), "policed")


def test_a_call_goes_through_the_phases_that_policies_take_part_in() -> None:
    """And its final lane is the stage's."""
    pipeline = Pipeline.of([Idle(), PassOn()])
    found = slip(Stages.of(pipeline))
    assert [hop.phases for hop in found.hops] == [("response",)]
    assert (found.version, found.final_by) == (pipeline.version, f"stage:{pipeline.stage}")


def test_a_pipeline_that_does_nothing_needs_no_worker() -> None:
    """Its calls are relayed, and still tell its version."""
    pipeline = Pipeline.of(Idle())
    assert Stages.of(pipeline).keys == ()
    assert slip(Stages.of(pipeline)) == Slip(version=pipeline.version)


def test_every_stage_of_a_chain_is_shown_all_that_any_of_them_acts_in() -> None:
    """The last one writes the final lane, though its own policies read requests only."""
    one, two = Pipeline((Bound("pass_on", PassOn()),), "one"), Pipeline((Bound("asks", Asks()),), "two")
    found = slip(Stages((one, Pipeline.of(Idle()), two)))
    assert [(hop.stage, hop.phases) for hop in found.hops] == [
        (one.stage, ("request", "response")),
        (two.stage, ("request", "response")),
    ]
    assert found.final_by == f"stage:{two.stage}"
    assert found.version not in ("", one.version, two.version)


def test_the_edge_writes_the_final_lane_where_stages_read_requests_only() -> None:
    """However many they are."""
    stages = Stages((Pipeline((Bound("asks", Asks()),), "one"), External("two", "1", ("request",))))
    assert slip(stages).final_by == "edge"
    assert slip(stages).hops[1].stage == "two@1"


def test_a_stage_without_a_policy_for_the_call_is_not_on_its_way() -> None:
    """Globs over model, key, user and session; all that are given must fit, one of each list."""
    match = Match(model=("gpt-*", "o?"), user="ann*")
    pipeline = Pipeline((Bound("pass_on", PassOn(), match=match),))
    fits = [("gpt-5", "anna"), ("o3", "ann")]
    fails = [("claude", "anna"), ("gpt-5", "bob"), ("gpt-5", ""), ("o33", "ann")]
    assert [bool(slip(Stages.of(pipeline), model=m, user=u).hops) for m, u in fits] == [True] * 2
    assert [bool(slip(Stages.of(pipeline), model=m, user=u).hops) for m, u in fails] == [False] * 4


def test_bypassed_calls_pass_no_stage_and_tell_the_version() -> None:
    """So the record says what would have been in force."""
    plan = Plan(Stages.of(Pipeline.of(PassOn())))
    found = plan.slip(plan.hops(CALL, CallFacts()), "bypassed")
    assert (found.hops, found.version) == ((), plan.stages.version)
