"""Calls through the whole pipeline: edge, log, worker, log, edge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from luthien_stream.core.lens import Request
from luthien_stream.events import log
from luthien_stream.events.answer import Event, Text
from luthien_stream.policy.api import Policy
from luthien_stream.policy.context import Context
from luthien_stream.policy.stream import Events
from tests.integration.edge_rig import FORMATS, running
from tests.wait import wait_until


class PassOn(Policy):
    """Sees everything and changes nothing."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield what comes."""
        async for event in events:
            yield event


class Shout(Policy):
    """Changes every text."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield texts in capitals."""
        async for event in events:
            yield event.with_text(event.text.upper()) if isinstance(event, Text) else event


class Marks(Policy):
    """Changes requests and takes no part in answers."""

    async def request(self, request: Request, ctx: Context) -> Request:
        """Add an instruction."""
        return request.add_system("Be brief.")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("model", ["text-400", "tools", "text-5+crlf", "text-5+odd", "thinking-3"])
async def test_what_no_policy_changes_reaches_the_client_byte_for_byte(format: str, model: str) -> None:
    """Through the log and back."""
    async with running(PassOn()) as rig:
        got = await rig.ask(model, format)
        assert got.status == 200
        assert got.body == b"".join(rig.provider.requests[0].sent)
        await wait_until(lambda: rig.delivered(got.call))
        ends = await rig.all(got.call, log.ResponseCompleted)
        assert sorted(end.lane for end in ends) == ["final", "original"]


@pytest.mark.parametrize("format", FORMATS)
async def test_an_unstreamed_answer_takes_the_same_way(format: str) -> None:
    """Untouched: the same bytes. Changed: another body."""
    async with running(PassOn()) as rig:
        got = await rig.ask("text-20", format, stream=False)
        assert (got.status, got.body) == (200, rig.provider.requests[0].sent[0])
    async with running(Shout()) as rig:
        got = await rig.ask("text-20", format, stream=False)
        assert got.status == 200
        assert got.body != rig.provider.requests[0].sent[0]
        assert got.headers["content-length"] == str(len(got.body))


async def test_many_policed_calls_at_once_do_not_mix() -> None:
    """64 streams over all partitions."""
    async with running(PassOn()) as rig:
        models = [f"text-{20 + i}" for i in range(64)]
        every = await asyncio.gather(*(rig.ask(model) for model in models))
        sent = {seen.json["model"]: b"".join(seen.sent) for seen in rig.provider.requests}
        assert [got.body for got in every] == [sent[model] for model in models]
        await wait_until(lambda: not rig.edge.calls)


@pytest.mark.parametrize("format", FORMATS)
async def test_a_pipeline_that_only_reads_requests_leaves_the_answer_to_the_edge(format: str) -> None:
    """The changed request goes out, the answer is relayed, and the edge writes the final lane's end."""
    async with running(Marks()) as rig:
        got = await rig.ask("text-20", format)
        seen = rig.provider.requests[0]
        assert got.body == b"".join(seen.sent)
        assert b"Be brief." in seen.body
        await wait_until(lambda: rig.delivered(got.call))
        streams = {stream for stream, _, event in await rig.events(got.call) if isinstance(event, log.ChunkReceived)}
        assert streams == {rig.edge.inbox.stream}
        numbers = [event.n for _, src, event in await rig.events(got.call) if src == f"edge:{rig.edge.id}"]
        assert sorted(numbers) == list(range(len(numbers)))
        ends = await rig.all(got.call, log.ResponseCompleted)
        assert sorted(end.lane for end in ends) == ["final", "original"]


@pytest.mark.parametrize("size", [10, 200_000])
async def test_a_changed_request_has_its_credentials_back_on_the_wire(size: int) -> None:
    """The stage saw a marker; the provider gets what the client sent, also where the body was stored aside."""
    async with running(Marks()) as rig:
        servers = [{"type": "url", "url": "https://mcp.example", "authorization_token": "mcp-canary-0001"}]
        fields = {"mcp_servers": servers, "metadata": {"user_id": "u" * size}}
        got = await rig.ask("text-3", fields=fields)
        assert got.status == 200
        assert rig.provider.requests[0].json["mcp_servers"] == servers
        assert b"Be brief." in rig.provider.requests[0].body
        assert b"mcp-canary-0001" not in await rig.dump()
