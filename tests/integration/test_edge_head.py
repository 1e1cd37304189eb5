"""Status and headers of a stream: ready before the first frame, sent with it, and thrown away if none comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDict

from luthien_stream.edge.delivery import Delivery
from luthien_stream.events.answer import Event
from luthien_stream.policy.api import Policy
from luthien_stream.policy.context import Context
from luthien_stream.policy.stream import Events
from tests.integration.edge_rig import KEY, request_body, running

HEADERS = {"x-api-key": KEY}


class PassOn(Policy):
    """Takes part in the response and changes nothing."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield what comes."""
        async for event in events:
            yield event


WAYS = pytest.mark.parametrize("policies", [(), (PassOn(),)], ids=["relayed", "policed"])


@WAYS
@pytest.mark.parametrize("model", ["break-0", "reset-0"])
@pytest.mark.parametrize("version", [aiohttp.HttpVersion10, aiohttp.HttpVersion11])
async def test_an_answer_that_ends_before_it_begins_is_an_http_error(
    policies: tuple[Policy, ...], model: str, version: aiohttp.HttpVersion
) -> None:
    """The provider's own status and headers, which may be ready by then, are not sent; the next call works."""
    async with running(*policies) as rig, aiohttp.ClientSession(version=version) as client:
        for _ in range(2):
            async with client.post(rig.url + "/v1/messages", json=request_body(model), headers=HEADERS) as response:
                assert response.status == 502
                assert response.content_type == "application/json"
                assert ("transfer-encoding" in response.headers) <= (version == aiohttp.HttpVersion11)
                assert (await response.json())["error"]["type"] == "api_error"
        assert b"message_stop" in (await rig.ask("text-3")).body


async def test_a_head_that_nothing_comes_of_closes_the_connection() -> None:
    """A fault of our own behind it must not be answered over what was made ready for a stream."""

    async def fails(request: web.Request) -> web.StreamResponse:
        delivery = Delivery(request)
        try:
            await delivery.make_ready(200, CIMultiDict({"Content-Type": "text/event-stream"}))
            raise RuntimeError("a fault of our own")
        finally:
            delivery.withdraw()

    app = web.Application()
    app.router.add_get("/", fails)
    async with TestServer(app) as server, aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await client.get(server.make_url("/"))


@WAYS
async def test_a_stream_ends_for_a_client_of_http_1_0_that_keeps_its_connection(policies: tuple[Policy, ...]) -> None:
    """It knows no chunks: only the end of the connection tells it where the answer ends."""
    async with running(*policies) as rig:
        port = int(rig.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps(request_body("text-3")).encode()
        head = f"POST /v1/messages HTTP/1.0\r\nConnection: keep-alive\r\nx-api-key: {KEY}\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        assert answer.partition(b"\r\n\r\n")[2] == b"".join(rig.provider.requests[0].sent)
