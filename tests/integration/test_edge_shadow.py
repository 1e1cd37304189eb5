"""Policies that only watch: what they say is on record, and the client gets what it would get without them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

import pytest

from luthien_stream.bus.memory import MemoryBus
from luthien_stream.config.model import Match
from luthien_stream.core.lens import Request
from luthien_stream.events import log
from luthien_stream.events.answer import End, Event, Text, ToolCall
from luthien_stream.policy.api import Policy, Refuse, Stop
from luthien_stream.policy.context import Context
from luthien_stream.policy.errors import JudgeFailed
from luthien_stream.policy.pipeline import Bound, Pipeline, name_of
from luthien_stream.policy.stages import Stages
from luthien_stream.policy.stream import Events
from luthien_stream.record.lanes import Record, StoredChunk, StoredEvent, final_lane
from tests.integration.edge_rig import FORMATS, Got, Rig, running
from tests.wait import wait_until


class Scores(Policy):
    """Scores each text, in upper case."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Score, and shout."""
        async for event in events:
            if isinstance(event, Text):
                ctx.verdict("score", score=0.5)
                yield event.with_text(event.text.upper())
            else:
                yield event


class PassOn(Policy):
    """Yields what comes."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield what comes."""
        async for event in events:
            yield event


class Refuses(Policy):
    """Would take no request."""

    async def request(self, request: Request, ctx: Context) -> Request:
        """Refuse it."""
        raise Refuse("Not here.")


class Stops(Policy):
    """Would end every answer."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Stop it."""
        async for event in events:
            if isinstance(event, Text):
                raise Stop("No more.")
            yield event


class Breaks(Policy):
    """Raises in the middle."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Break."""
        async for event in events:
            if isinstance(event, Text):
                raise ValueError("broken")
            yield event


class Judges(Policy):
    """Asks a model about the answer, once it is whole, and a person too."""

    needs: ClassVar[frozenset[str]] = frozenset({"judge"})

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Judge at the end."""
        async for event in events:
            if isinstance(event, End):
                answered = await ctx.ask(ToolCall("1", "Bash", "{}"), timeout_s=600)
                ctx.verdict("hold", answered.decision)
                try:
                    await ctx.judge("text-3", "Is it safe?", "all of it", retries=0)
                except JudgeFailed as error:
                    ctx.verdict("score", f"{type(error).__name__}", score=0.0)
            yield event


def stages(*enforced: Policy, watching: Policy, match: Match | None = None) -> Stages:
    """All enforced policies in one stage, and one beside."""
    bound = Bound(name_of(type(watching)), watching, match=match or Match())
    return Stages((Pipeline.of(enforced),) if enforced else (), Pipeline((bound,), "shadow"))


async def watched(rig: Rig, got: Got) -> list[log.AnyEvent]:
    """What the stage beside said of a call, once it has said its last word."""

    async def said() -> list[log.AnyEvent]:
        inbox = [found for found in await rig.events(got.call) if rig.edge.id in found[0]]
        return [event for _, src, event in inbox if src.startswith("stage:shadow@") and event.n >= 0]

    async def ended() -> bool:
        return any(isinstance(event, log.Terminal) for event in await said())

    await wait_until(ended)
    return await said()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("enforced", [(), (PassOn(),)], ids=["relayed", "policed"])
async def test_watchers_change_nothing_and_are_on_record(format: str, enforced: tuple[Policy, ...]) -> None:
    """Also where a call passes no stage; and what they made of the answer is nowhere."""
    async with running() as rig:
        plain = await rig.ask("text-20", format)
    async with running(stages=stages(*enforced, watching=Scores())) as rig:
        got = await rig.ask("text-20", format)
        assert (got.status, got.body) == (plain.status, plain.body)
        await wait_until(lambda: rig.delivered(got.call))
        said = await watched(rig, got)
        assert [type(event) for event in said[-2:]] == [log.VerdictReached, log.ResponseCompleted]
        assert {event.shadow for event in said if isinstance(event, log.VerdictReached)} == {True}
        assert {type(event) for event in said} == {log.VerdictReached, log.ResponseCompleted}
        assert len(said) > 10
        await wait_until(lambda: rig.edge.shadow.unseen == 0)
        assert final_lane(await record(rig, got)).raw == got.body


async def record(rig: Rig, got: Got) -> Record:
    """The call as the recorder would store it."""
    made = Record(got.call, [], {})
    for entry, (_, src, event) in enumerate(await rig.events(got.call)):
        if src.startswith("shadow:"):
            continue
        if isinstance(event, log.ChunkReceived | log.ChunkReleased):
            of = event.of if isinstance(event, log.ChunkReleased) else None
            chunk = StoredChunk(event.n, event.time, event.kind, event.frame, of)
            made.chunks.setdefault(src, {})[event.n] = chunk
        elif not isinstance(event, log.ChunkSeen):
            made.events.append(StoredEvent(src, event.n, entry, event))
    return made


@pytest.mark.parametrize(
    ("watching", "kind"), [(Refuses(), log.VerdictReached), (Stops(), log.VerdictReached), (Breaks(), log.PolicyFailed)]
)
async def test_what_watchers_would_do_is_said_and_not_done(watching: Policy, kind: type[log.LogEvent]) -> None:
    """A refusal, a stop, a failure: the client has its whole answer, and the stage is done with the call."""
    async with running() as rig:
        plain = await rig.ask("text-20")
    async with running(stages=stages(PassOn(), watching=watching)) as rig:
        got = await rig.ask("text-20")
        assert (got.status, got.body) == (plain.status, plain.body)
        assert kind in {type(event) for event in await watched(rig, got)}
        assert len(await rig.all(got.call, log.ResponseCompleted)) >= 2
        await wait_until(lambda: not [c for found in rig.bus.data.partitions.values() for c in found.open])


async def test_a_call_that_watchers_do_not_match_is_not_copied() -> None:
    """Nothing of it is in their partitions."""
    async with running(stages=stages(watching=Scores(), match=Match(model="gpt-*"))) as rig:
        got = await rig.ask("text-3")
        assert not [src for _, src, _ in await rig.events(got.call) if src.startswith("shadow:")]


async def test_without_a_worker_that_watches_calls_go_on_and_say_so() -> None:
    """Whoever looks for the verdicts finds why there are none."""
    async with running(stages=stages(watching=Scores()), workers=0) as rig:
        got = await rig.ask("text-3")
        assert got.status == 200
        await wait_until(lambda: rig.delivered(got.call))
        failed = await rig.one(got.call, log.PolicyFailed)
        assert (failed.policy, failed.error, failed.went) == ("shadow", "NotWatched", "open")
        assert "--stage shadow" in failed.message


async def test_a_stage_that_is_too_far_behind_loses_the_copy_and_the_call_loses_nothing() -> None:
    """On record; the stage is asked to end what it has of the call."""
    made, bus = stages(watching=Scores()), MemoryBus()
    assert made.shadow is not None
    await bus.beat("worker", "hand", {"stages": made.shadow.stage}, ttl_ms=60_000)
    async with running() as rig:
        plain = await rig.ask("text-200")
    async with running(stages=made, workers=0, bus=bus) as rig:
        await rig.edge.admission.look()
        rig.edge.shadow.most_unseen = 50
        got = await rig.ask("text-200")
        assert got.body == plain.body
        await wait_until(lambda: rig.delivered(got.call))
        assert (await rig.one(got.call, log.PolicyFailed)).message == "the stage `shadow` is too far behind"
        copied = [event for _, src, event in await rig.events(got.call) if src.startswith("shadow:")]
        assert len(copied) < 100
        await wait_until(lambda: all(outbox.idle for outbox in rig.edge.shadow.outboxes))
        assert [event.reason for event in await rig.all(got.call, log.ResponseAborted)] == ["not_watched"]
        assert rig.edge.shadow.unseen == 0


async def test_a_refused_call_ends_for_its_watchers_too() -> None:
    """Its provider never said a word."""
    async with running(stages=stages(Refuses(), watching=Scores())) as rig:
        got = await rig.ask("text-3")
        assert b"Not here." in got.body
        (end,) = await watched(rig, got)
        assert isinstance(end, log.ResponseAborted)
        await wait_until(lambda: not [c for found in rig.bus.data.partitions.values() for c in found.open])


async def test_a_watcher_may_ask_a_model_after_the_call_has_ended_and_nobody_else() -> None:
    """The draw is the gateway's, a person is not asked about what is done already."""
    async with running(stages=stages(watching=Judges())) as rig:
        got = await rig.ask("text-20", "openai_chat")
        said = await watched(rig, got)
        verdicts = [(event.kind, event.reason) for event in said if isinstance(event, log.VerdictReached)]
        assert verdicts == [("hold", "expired"), ("score", "JudgeFailed")]
        assert len(rig.provider.requests) == 2
        assert log.CallHeld not in {type(event) for event in said}
        assert log.SampleRequested in {type(event) for event in said}


async def test_a_client_that_comes_back_gets_its_call_without_what_watchers_say() -> None:
    """Their terminal event is not the call's."""
    async with running(stages=stages(PassOn(), watching=Stops())) as rig:
        got = await rig.ask("text-20")
        await watched(rig, got)
        again = await rig.send("GET", f"/v1/calls/{got.call}/stream", headers={"x-api-key": "sk-client-canary-42"})
        assert again.status == 200
        assert again.body.count(b"data: ") >= got.body.count(b"data: ")
