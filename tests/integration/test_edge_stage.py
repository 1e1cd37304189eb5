"""What the edge accepts of a stage: a stage played by hand, that repeats, skips, splices, and makes wrong frames."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from luthien_stream.bus import keys
from luthien_stream.core.digest import EMPTY, chain
from luthien_stream.events import log, pack
from luthien_stream.events.answer import Event
from luthien_stream.policy.api import Policy
from luthien_stream.policy.context import Context
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.stream import Events
from tests.integration.edge_rig import Got, Rig, running
from tests.wait import wait_until

START = b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"usage":{"input_tokens":1,"output_tokens":1}}}\n\n'  # noqa: E501
PING = b'event: ping\ndata: {"type":"ping"}\n\n'
STRAY = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":7}\n\n'


class PassOn(Policy):
    """Takes part in the response, so that the edge waits for its stage."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield what comes."""
        async for event in events:
            yield event


PIPELINE = Pipeline.of(PassOn())


class Hand:
    """Writes a stage's outputs for one call, numbered and chained."""

    def __init__(self, rig: Rig, asking: asyncio.Task[Got]) -> None:
        self.rig = rig
        self.asking = asking
        self.call = next(iter(rig.edge.calls))
        self.n = 0
        self.digest = EMPTY

    async def put(self, event: log.LogEvent, *, n: int | None = None, prev: int | None = None) -> None:
        """Write the next output; `n` and `prev` make it a wrong one."""
        event.call, event.time = self.call, 1
        event.n, event.prev = (self.n if n is None else n), (self.digest if prev is None else prev)
        if n is None and prev is None:
            self.n, self.digest = self.n + 1, chain(self.digest, event)  # type: ignore[arg-type]
        raw = pack.encode(f"stage:{PIPELINE.stage}", [event])  # type: ignore[list-item]
        await self.rig.bus.append(keys.inbox(self.rig.edge.id), raw)

    async def chunk(self, frame: bytes, of: int = 2, *, n: int | None = None, prev: int | None = None) -> None:
        """Release a frame."""
        await self.put(log.ChunkReleased(call="", frame=frame, of=of), n=n, prev=prev)

    async def release(self) -> None:
        """Let the request go, and wait until the provider has begun to answer."""
        await self.put(log.RequestReleased(call=""))
        await wait_until(lambda: bool(self.rig.provider.requests))
        await wait_until(lambda: self.rig.edge.calls[self.call].head is not None)


@asynccontextmanager
async def played(model: str = "stall-3", format: str = "anthropic_messages") -> AsyncIterator[Hand]:
    """A call that waits for a stage."""
    async with running(pipeline=PIPELINE, workers=0) as rig:
        await rig.bus.beat("worker", "hand", {"stages": PIPELINE.stage}, ttl_ms=60_000)
        await rig.edge.admission.look()
        asking = asyncio.create_task(rig.ask(model, format))
        await wait_until(lambda: bool(rig.edge.calls))
        yield Hand(rig, asking)


async def test_a_request_that_nobody_acts_on_goes_to_the_provider_at_once() -> None:
    """Its stage has said nothing; what the client gets still comes from the stage alone."""
    async with played("text-3") as hand:
        await wait_until(lambda: hand.rig.edge.calls[hand.call].original_over)
        assert hand.rig.edge.calls[hand.call].released is None
        await hand.put(log.RequestReleased(call=""))
        await hand.chunk(START)
        await hand.put(log.ResponseCompleted(call="", lane="final"))
        assert (await hand.asking).body == START


async def test_repeats_and_gaps_are_dropped() -> None:
    """Exactly the next ordinal is taken, once."""
    async with played() as hand:
        await hand.release()
        await hand.chunk(START)
        await hand.chunk(START, n=1, prev=0)
        await hand.chunk(STRAY, n=9, prev=0)
        await hand.chunk(PING)
        await hand.put(log.ResponseCompleted(call="", lane="final"))
        got = await hand.asking
        assert (got.status, got.body, got.broken) == (200, START + PING, False)


async def test_a_lane_that_does_not_continue_what_was_sent_ends_with_a_typed_error() -> None:
    """Two runs are never spliced; the stage is asked to end the call."""
    async with played() as hand:
        await hand.release()
        await hand.chunk(START)
        await hand.chunk(PING, n=hand.n, prev=12345)
        got = await hand.asking
        assert got.broken
        assert got.body.startswith(START + b"event: error")
        await wait_until(lambda: hand.rig.delivered(got.call))
        aborts = await hand.rig.all(got.call, log.ResponseAborted)
        assert {(abort.n >= 0, abort.reason) for abort in aborts} == {(False, "digest"), (True, "digest")}
        await wait_until(lambda: hand.rig.provider.requests[0].ended == "gone")


async def test_a_wrong_frame_of_the_provider_passes_and_is_recorded() -> None:
    """It is not ours to mend."""
    async with played() as hand:
        await hand.release()
        await hand.chunk(START)
        await hand.chunk(STRAY)
        await hand.put(log.ResponseCompleted(call="", lane="final"))
        got = await hand.asking
        assert got.body == START + STRAY
        await wait_until(lambda: hand.rig.delivered(got.call))
        assert (await hand.rig.one(got.call, log.ProtocolViolated)).by == "provider"


async def test_a_wrong_frame_of_our_own_never_leaves() -> None:
    """The call ends closed, in the stream."""
    async with played() as hand:
        await hand.release()
        await hand.chunk(START)
        await hand.chunk(STRAY, of=-1)
        got = await hand.asking
        assert STRAY not in got.body
        assert b"event: error" in got.body
        assert got.broken
        await wait_until(lambda: hand.rig.delivered(got.call))
        assert (await hand.rig.one(got.call, log.ProtocolViolated)).by == "stage"


async def test_the_provider_is_read_on_only_as_far_as_the_stage_has_seen() -> None:
    """256 events, and more once it says so."""
    async with played("text-2000") as hand:
        await hand.release()
        call = hand.rig.edge.calls[hand.call]
        await wait_until(lambda: call.credit.unseen >= 256)
        sent = call.line.n
        assert sent < 2000
        raw = pack.encode(f"stage:{PIPELINE.stage}", [log.ChunkSeen(call=hand.call, upto=sent)])
        await hand.rig.bus.append(keys.inbox(hand.rig.edge.id), raw)
        await wait_until(lambda: call.line.n > sent)
        await hand.put(log.ResponseFailed(call="", lane="final", error="policy_failed"))
        assert (await hand.asking).status == 503


async def test_outputs_of_another_source_are_ignored() -> None:
    """Only the stage in the slip writes the final lane."""
    async with played() as hand:
        await hand.release()
        raw = pack.encode("stage:main@other", [log.ChunkReleased(call=hand.call, n=1, prev=0, frame=STRAY)])
        await hand.rig.bus.append(keys.inbox(hand.rig.edge.id), raw)
        await hand.rig.bus.append(keys.inbox(hand.rig.edge.id), b"no pack at all")
        await hand.chunk(START)
        await hand.put(log.ResponseCompleted(call="", lane="final"))
        assert (await hand.asking).body == START
