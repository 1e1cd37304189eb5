"""Postgres stands still until the log is full: then calls are refused, and nothing that was taken is lost."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
import pytest

from luthien_stream.bus import connect
from luthien_stream.bus.redis.links import call_once
from luthien_stream.testing.provider import FakeProvider
from tests.acceptance.clients import Received, ask, body, session
from tests.acceptance.gateway import Gateway, kill
from tests.wait import wait_until

pytestmark = pytest.mark.timeout(240)
ROOM = 24 << 20
"""Bytes that the log may grow by: what is left when admission closes is enough for the calls that run then."""
MOST = 2_000
"""Calls after which it must have been full."""


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        yield fake


@contextmanager
def standing_still(gateway: Gateway, role: str) -> Iterator[None]:
    """Stop a server and all that belongs to it, as behind a broken network."""
    (server,) = gateway.role(role)
    family = [server, *server.children(recursive=True)]
    for process in family:
        kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in family:
            kill(process, signal.SIGCONT)


async def used(gateway: Gateway) -> int:
    """Bytes of memory that the log takes."""
    bus = connect(gateway.instance.redis)
    try:
        return (await bus.memory())[0]
    finally:
        await bus.close()


async def one(http: aiohttp.ClientSession, gateway: Gateway) -> Received:
    """A call with an answer of some size."""
    return await ask(http, gateway.url, "openai_chat", body("gpt/text-60@300", said="x" * 2000))


async def test_past_the_memory_bound_admission_closes_and_the_record_is_whole(
    tmp_path: Path, provider: FakeProvider
) -> None:
    """Every call is either refused before anything happens, or answered whole and recorded whole."""
    async with Gateway(tmp_path, provider.url, pipeline=[{"use": "all_caps"}]) as gateway, session() as http:
        with standing_still(gateway, "postgres"):
            call_once(gateway.instance.redis, "CONFIG", "SET", "maxmemory", await used(gateway) + ROOM)
            taken, refused = list[str](), None
            while refused is None:
                assert len(taken) < MOST, "the log never got full"
                for got in await asyncio.gather(*(one(http, gateway) for _ in range(8))):
                    if got.status == 200:
                        assert got.body.endswith(b"data: [DONE]\n\n")
                        taken.append(got.call_id)
                    else:
                        refused = got
            assert refused.status == 503
            assert b"nearly full" in refused.body
            assert len(taken) > 20

        await wait_until(lambda: set(taken) <= completed(gateway), timeout=60)

        async def open_again() -> bool:
            return (await one(http, gateway)).status == 200

        await wait_until(open_again, timeout=60)
        assert "No dead letters" in gateway.command("dead-letter")
        await gateway.proved(len(taken) + 1)


def completed(gateway: Gateway) -> set[str]:
    """The calls that the record has to their end."""
    calls = [json.loads(line) for line in gateway.command("calls", "--json", "--limit", str(2 * MOST)).splitlines()]
    return {call["call_id"] for call in calls if call["outcome"] == "completed"}
