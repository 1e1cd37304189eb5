"""Calls that a person ends: each client gets a good end in its own dialect, and the record says who it was."""

from __future__ import annotations

import asyncio
import json
from typing import Any, TypeGuard

import pytest

from luthien_stream.cli.stop import tell_edges
from luthien_stream.core.lens import Lens
from luthien_stream.edge.ending import closing
from luthien_stream.events import log
from luthien_stream.events.answer import ALL, End, Text
from luthien_stream.formats import LENSES
from tests.integration.edge_ends import ended
from tests.integration.edge_rig import FORMATS, Got, Rig, running
from tests.integration.test_edge_stage import PassOn
from tests.wait import wait_until

TOOLS: dict[str, Any] = {
    "anthropic_messages": {"name": "read_file", "input_schema": {"type": "object"}},
    "openai_chat": {"type": "function", "function": {"name": "read_file", "parameters": {"type": "object"}}},
    "openai_responses": {"type": "function", "name": "read_file", "parameters": {"type": "object"}},
}
THINKING = {("thinking-3", "anthropic_messages"): {"thinking": {"type": "enabled", "budget_tokens": 1024}}}


def order(call: str = "", *, session: str = "", everything: bool = False) -> log.StopRequested:
    """A person's order."""
    return log.StopRequested(call=call, time=1, by="ann", session=session, all=everything, reason="wrong machine")


def is_order(event: log.AnyEvent) -> TypeGuard[log.StopRequested]:
    """Whether it is on record as such."""
    return isinstance(event, log.StopRequested)


def read(lens: Lens, got: Got) -> tuple[str, str]:
    """Text and end of a streamed answer."""
    decoder, text, end = lens.decoder(ALL), "", ""
    for frame in got.frames:
        for item in decoder.frame(frame):
            text += item.text if isinstance(item, Text) else ""
            end = item.reason if isinstance(item, End) else end
    for item in decoder.close():
        end = item.reason if isinstance(item, End) else end
    return text, end


async def begun(rig: Rig) -> str:
    """The one call, once its client has the five frames that come."""
    await wait_until(lambda: any(call.delivery.bytes > 0 and call.last == 6 for call in rig.edge.calls.values()))
    return next(iter(rig.edge.calls))


@pytest.mark.parametrize("policies", [(), (PassOn(),)], ids=["relayed", "policed"])
@pytest.mark.parametrize("format", FORMATS)
async def test_a_stream_is_ended_well(format: str, policies: tuple[Any, ...]) -> None:
    """The text goes on to say so, the turn ends, the connection is whole; the provider is left."""
    async with running(*policies) as rig:
        asking = asyncio.create_task(rig.ask("stall-5", format))
        call = await begun(rig)
        assert await tell_edges(rig.bus, order(call)) == {rig.edge.id: [call]}
        got = await asking
        assert (got.status, got.broken) == (200, False)
        text, end = read(LENSES[format], got)
        assert text.endswith("\n\nStopped by ann: wrong machine")
        assert end == "stop"
        checker = LENSES[format].checker()
        assert [found for frame in got.frames for found in checker.frame(frame)] == []
        assert (await ended(rig, call))["final"] == "stopped"
        said = [(e.by, e.reason) for to, _, e in await rig.events(call) if to == rig.edge.inbox.stream and is_order(e)]
        assert said == [("ann", "wrong machine")]
        aborted = [e for e in await rig.all(call, log.ResponseAborted) if e.lane == "final"]
        assert [(e.by, e.reason, e.n >= 0) for e in aborted] == [("ann", "stopped", True)]
        await wait_until(lambda: rig.provider.requests[0].ended == "gone")


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("format", FORMATS)
async def test_an_answer_that_has_not_begun_is_a_whole_turn_that_says_so(format: str, stream: bool) -> None:
    """An HTTP error would be repeated by agents."""
    async with running() as rig:
        asking = asyncio.create_task(rig.ask("never", format, stream=stream))
        await wait_until(lambda: bool(rig.provider.requests))
        calls = list(rig.edge.calls)
        assert await tell_edges(rig.bus, order(everything=True)) == {rig.edge.id: calls}
        got = await asking
        assert (got.status, got.broken) == (200, False)
        assert b"Stopped by ann: wrong machine" in got.body
        if not stream:
            assert json.loads(got.body)["model"]


@pytest.mark.parametrize("model", ["text-4", "tools", "thinking-3", "parallel-tools-2"])
@pytest.mark.parametrize("format", FORMATS)
async def test_wherever_a_stream_is_stopped_its_end_is_well_formed_or_an_error(format: str, model: str) -> None:
    """After each frame of an answer; within a tool call or a thought there is no good end."""
    async with running() as rig:
        tools = {"tools": [TOOLS[format]]} if "tools" in model else {}
        frames = (await rig.ask(model, format, fields={**tools, **THINKING.get((model, format), {})})).frames
    lens, good = LENSES[format], 0
    for given in range(1, len(frames)):
        end = closing(lens, frames[:given], "Stopped.")
        if end:
            checker = lens.checker()
            assert [found for frame in (*frames[:given], *end) for found in checker.frame(frame)] == []
            good += 1
    assert good > 1


async def test_only_what_is_meant_is_ended() -> None:
    """By session, by the beginning of an id that is long enough, and nothing else."""
    async with running() as rig:
        headers = {"x-api-key": "k", "x-session-id": "run 7"}
        asking = asyncio.create_task(rig.ask("stall-5", headers=headers))
        call = await begun(rig)
        for wrong in (order("x"), order(call[:8]), order(session="run 8")):
            assert await tell_edges(rig.bus, wrong) == {rig.edge.id: []}
        assert await tell_edges(rig.bus, order(session="run 7")) == {rig.edge.id: [call]}
        await asking
        await wait_until(lambda: not rig.edge.calls)
