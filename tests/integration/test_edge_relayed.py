"""Calls that no policy sees: the provider's bytes go to the client at once, and to the record."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest

from luthien_stream.config.model import ModelRoute
from luthien_stream.events import log
from tests.integration.edge_rig import FORMATS, request_body, running
from tests.wait import wait_until


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "model", ["text-20", "unicode", "tools", "text-5+crlf", "text-5+odd", "text-5+bytes", "thinking-3"]
)
async def test_a_stream_reaches_the_client_byte_for_byte_and_is_recorded(format: str, model: str) -> None:
    """Both lanes are on record: the frames as they came, and how far they were delivered."""
    async with running() as rig:
        got = await rig.ask(model, format)
        assert got.status == 200
        assert got.body == b"".join(rig.provider.requests[0].sent)
        assert got.headers["cache-control"] == "no-cache"
        assert got.headers["content-type"].startswith("text/event-stream")
        await wait_until(lambda: rig.delivered(got.call))
        chunks = await rig.all(got.call, log.ChunkReceived)
        assert b"".join(chunk.frame for chunk in chunks) == got.body
        ends = await rig.all(got.call, log.ResponseCompleted)
        assert sorted(end.lane for end in ends) == ["final", "original"]
        delivered = await rig.one(got.call, log.ResponseDelivered)
        assert (delivered.last, delivered.bytes, delivered.left) == (chunks[-1].n, len(got.body), "complete")


@pytest.mark.parametrize("format", FORMATS)
async def test_an_unstreamed_answer_keeps_its_bytes(format: str) -> None:
    """One chunk of kind `body`."""
    async with running() as rig:
        got = await rig.ask("text-20", format, stream=False)
        assert (got.status, got.body) == (200, rig.provider.requests[0].sent[0])
        assert got.headers["content-length"] == str(len(got.body))
        await wait_until(lambda: rig.delivered(got.call))
        chunk = await rig.one(got.call, log.ChunkReceived)
        assert (chunk.kind, chunk.frame) == ("body", got.body)


async def test_every_source_numbers_its_events_without_holes() -> None:
    """What readers of the log rely on."""
    async with running() as rig:
        got = await rig.ask("text-20")
        await wait_until(lambda: rig.delivered(got.call))
        by_source: dict[str, list[int]] = {}
        for _, src, event in await rig.events(got.call):
            by_source.setdefault(src, []).append(event.n)
        assert {src.partition(":")[0] for src in by_source} == {"edge", "record"}
        assert all(ns == list(range(len(ns))) for ns in by_source.values())


async def test_the_request_reaches_the_provider_as_it_was_sent() -> None:
    """Bytes, query, beta headers and unknown fields; only hop-by-hop headers are the edge's own."""
    async with running() as rig:
        body = b"""{"model" : "text-3", "stream":true,
          "max_tokens":100, "messages":[{"role":"user","content":"\\u2602"}],"x":0.10}"""
        headers = {"x-api-key": "mine-00000", "anthropic-version": "2026-10-21", "anthropic-beta": "a,b"}
        got = await rig.send("POST", "/v1/messages?beta=true", data=body, headers=headers)
        assert got.status == 200
        seen = rig.provider.requests[0]
        assert (seen.body, seen.query) == (body, "beta=true")
        arrived = {name.lower(): value for name, value in seen.headers.items()}
        assert headers.items() <= arrived.items()
        assert arrived["accept-encoding"] == "identity"


async def test_a_gzipped_request_is_sent_on_plain() -> None:
    """The provider's server gets what the client meant."""
    async with running() as rig:
        body = json.dumps(request_body("text-3", stream=False)).encode()
        got = await rig.send(
            "POST", "/v1/messages", data=gzip.compress(body), headers={"content-encoding": "gzip", "x-api-key": "k" * 9}
        )
        assert got.status == 200
        assert rig.provider.requests[0].body == body


async def test_a_large_body_is_stored_once_under_its_digest() -> None:
    """The event names it; the provider gets it whole."""
    async with running() as rig:
        fields = {"system": "x" * 3_000_000}
        got = await rig.ask("text-1", fields=fields)
        assert got.status == 200
        received = await rig.one(got.call, log.RequestReceived)
        assert received.body == b""
        assert received.body_size > 3_000_000
        assert await rig.bus.get_body(received.body_ref) == rig.provider.requests[0].body


@pytest.mark.parametrize("format", FORMATS)
async def test_a_providers_error_reaches_the_client_unchanged(format: str) -> None:
    """Status, body, request id, retry-after; on record as a failed call."""
    async with running() as rig:
        got = await rig.ask("error-429", format)
        assert (got.status, got.body) == (429, rig.provider.requests[0].sent[0])
        assert "retry-after" in got.headers
        assert got.headers["request-id" if format == "anthropic_messages" else "x-request-id"] != got.call
        await wait_until(lambda: rig.delivered(got.call))
        failed = await rig.all(got.call, log.ResponseFailed)
        assert {(end.lane, end.error, end.status) for end in failed} == {
            ("original", "provider_error", 429),
            ("final", "provider_error", 429),
        }


async def test_a_model_with_another_name_at_the_provider() -> None:
    """Only that field of the body changes."""
    async with running(models=(ModelRoute("fast", "fake/text-7"),)) as rig:
        got = await rig.ask("fast", fields={"top_p": 0.5})
        assert got.status == 200
        assert rig.provider.requests[0].json["model"] == "text-7"
        assert rig.provider.requests[0].json["top_p"] == 0.5
        assert (await rig.one(got.call, log.RequestReceived)).model == "fast"
        assert (await rig.one(got.call, log.ResponseStarted)).model == "text-7"


async def test_a_demo_model_needs_no_provider() -> None:
    """And no credential."""
    async with running() as rig:
        got = await rig.ask("demo/echo")
        assert got.status == 200
        assert b"message_stop" in got.body
        assert not rig.provider.requests


async def test_many_calls_at_once_do_not_mix() -> None:
    """64 streams, each with its own bytes."""
    async with running() as rig:
        models = [f"text-{20 + i}" for i in range(64)]
        every = await asyncio.gather(*(rig.ask(model) for model in models))
        sent = {seen.json["model"]: b"".join(seen.sent) for seen in rig.provider.requests}
        assert [got.body for got in every] == [sent[model] for model in models]
        await wait_until(lambda: not rig.edge.calls)
