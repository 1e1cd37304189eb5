"""Generated and recorded streams of all formats through the whole pipeline: the client gets the very bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from luthien_stream.config.model import PolicyUse, Provider
from luthien_stream.events.answer import Event
from luthien_stream.policy.api import Policy
from luthien_stream.policy.catalogue import load_pipeline
from luthien_stream.policy.context import Context
from luthien_stream.policy.stream import Events
from tests.corpora import CORPORA
from tests.integration.edge_rig import Rig, running
from tests.unit.formats.drive import STREAMS, cut

RECORDED = sorted(CORPORA.glob("recorded_*_chunks.json"))
SIZES = (1, 7, 97, 1 << 20)
"""How the provider's connection cuts the stream."""


class PassOn(Policy):
    """Is shown everything and changes nothing."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield what comes."""
        async for event in events:
            yield event


class Cutting:
    """A provider that sends given bytes in pieces of the size that the model's name ends with."""

    def __init__(self, streams: Mapping[str, bytes]) -> None:
        self._streams = streams

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Listen; yields the base URL."""
        app = web.Application()
        app.router.add_post("/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        name, _, size = str((await request.json())["model"]).rpartition("@")
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for piece in cut(self._streams[name], int(size)):
            await response.write(piece)
            await asyncio.sleep(0)  # let the piece leave alone
        return response


@asynccontextmanager
async def in_front_of(streams: Mapping[str, bytes], way: str) -> AsyncIterator[Rig]:
    """A gateway with no policy, with `noop`, or with one that is shown everything."""
    pipeline = load_pipeline((PolicyUse("noop"),), None) if way == "noop" else None
    async with Cutting(streams).serving() as url:
        formats = ("anthropic_messages", "openai_chat", "openai_responses")
        there = Provider(base_url=url, format=formats, passthrough=True)  # type: ignore[arg-type]
        policies = (PassOn(),) if way == "shown" else ()
        async with running(*policies, pipeline=pipeline, providers={"there": there}) as rig:
            yield rig


@pytest.mark.parametrize("way", ["none", "noop", "shown"])
async def test_every_stream_arrives_as_it_was_sent(way: str) -> None:
    """In pieces of 1, 7 and 97 bytes, and whole. Among them are unknown events and fields, padding, CRLF, comments, odd
    spacing, split UTF-8, raw U+2028, empty blocks, server-side tools and interleaved thinking."""
    streams = {name: b"".join(frames) for name, (_, frames) in STREAMS.items()}
    async with in_front_of(streams, way) as rig:
        for name, (lens, _) in STREAMS.items():
            for size in SIZES:
                got = await rig.ask(f"{name}@{size}", lens.name)
                assert (name, size, got.status, got.broken, got.body) == (name, size, 200, False, streams[name])


@pytest.mark.skipif(not RECORDED, reason="no recorded streams here")
@pytest.mark.parametrize("way", ["none", "noop", "shown"])
async def test_every_recorded_stream_arrives_as_it_was_sent(way: str) -> None:
    """Real answers, as chat chunks."""
    streams = {
        path.stem: b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in json.loads(path.read_text()))
        + b"data: [DONE]\n\n"
        for path in RECORDED
    }
    async with in_front_of(streams, way) as rig:
        for name, stream in streams.items():
            for size in SIZES:
                assert (await rig.ask(f"{name}@{size}", "openai_chat")).body == stream
