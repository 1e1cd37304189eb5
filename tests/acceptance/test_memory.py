"""10,000 calls leave nothing behind: no growing memory, no key without an owner or a time to live, no open call."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import redis.asyncio

from luthien_stream.bus import connect, keys
from luthien_stream.bus.port import START
from luthien_stream.core.partition import PARTITIONS
from luthien_stream.testing.provider import FakeProvider
from tests.acceptance.clients import ask, body, session
from tests.acceptance.gateway import Gateway
from tests.wait import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
ROLES = ("edge", "worker", "activity")
BATCH, BATCHES = 2_000, 5
GROWTH_MB = 6


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider(keep=10) as fake:
        yield fake


async def run_batch(gateway: Gateway) -> None:
    """Calls of both formats, streamed and not; each tenth client leaves in the middle."""
    numbers = iter(range(BATCH))

    async def one_client() -> None:
        for i in numbers:
            format, name = (("anthropic_messages", "claude"), ("openai_chat", "gpt"))[i % 2]
            if i % 10 == 0:
                await leave_early(http, gateway, format, f"{name}/text-50@100")
            else:
                got = await ask(http, gateway.url, format, body(f"{name}/text-5", stream=i % 3 > 0, said=f"{i}"))
                assert (got.status, got.broken) == (200, "")

    async with session() as http, asyncio.TaskGroup() as clients:
        for _ in range(32):
            clients.create_task(one_client())


async def leave_early(http: aiohttp.ClientSession, gateway: Gateway, format: str, model: str) -> None:
    """Read one piece and hang up."""
    path = {"anthropic_messages": "/v1/messages", "openai_chat": "/v1/chat/completions"}[format]
    headers = {"authorization": "Bearer sk-x", "anthropic-version": "2023-06-01"}
    async with http.post(gateway.url + path, json=body(model), headers=headers) as answer:
        await answer.content.readany()
        answer.close()


async def status(gateway: Gateway, what: str) -> Any:
    """What the admin listener says."""
    token = (gateway.data / "admin-token").read_text().strip()
    url = f"http://{gateway.instance.admin}/luthien/api/{what}"
    async with session() as http, http.get(url, headers={"authorization": f"Bearer {token}"}) as answer:
        assert answer.status == 200
        return await answer.json()


def memory(gateway: Gateway) -> dict[str, float]:
    """Resident megabytes by role."""
    return {role: gateway.role(role)[0].memory_info().rss / 1e6 for role in ROLES}


async def ownerless(gateway: Gateway) -> set[str]:
    """Keys without a time to live that are no part of a partition that a worker serves, and no registry."""
    bus = connect(gateway.instance.redis)
    client = redis.asyncio.Redis.from_url(gateway.instance.redis)
    try:
        (facts,) = (await bus.alive("worker")).values()
        served = [f"{{{keys.partition(facts['stages'], number)}}}" for number in range(PARTITIONS)]
        known = (*served, keys.STREAMS, keys.DEAD_LETTERS, "ls:registry:")
        names = [key.decode() async for key in client.scan_iter(count=1000)]
        return {name for name in names if not any(tag in name for tag in known) and await client.ttl(name) == -1}
    finally:
        await client.aclose()
        await bus.close()


async def entries_left(gateway: Gateway) -> int:
    """Entries of all streams together; trimming leaves the last few."""
    bus = connect(gateway.instance.redis)
    try:
        return sum([len(await bus.range(stream, START, count=10_000)) for stream in await bus.streams()])
    finally:
        await bus.close()


async def test_ten_thousand_calls_leave_nothing(tmp_path: Path, provider: FakeProvider) -> None:
    """Memory settles after the first 2,000 calls; afterwards no call is open, no task and no key is left over."""
    async with Gateway(tmp_path, provider.url, pipeline=[{"use": "noop"}]) as gateway:
        tasks = (await status(gateway, "status"))["tasks"]
        grown: dict[str, list[float]] = {role: [] for role in ROLES}
        for _ in range(BATCHES):
            await run_batch(gateway)
            for role, size in memory(gateway).items():
                grown[role].append(round(size, 1))
        for role, sizes in grown.items():
            assert statistics.mean(sizes[-2:]) - sizes[0] < GROWTH_MB, f"{role} grows: {grown} MB"

        async def nothing_open() -> bool:
            now = await status(gateway, "status")
            return (now["open_calls"], now["tasks"]) == (0, tasks)

        await wait_until(nothing_open, timeout=30)
        assert (await status(gateway, "calls"))["calls"] == []

        async def trimmed() -> bool:
            return await entries_left(gateway) < 200

        await wait_until(trimmed, timeout=60)
        assert await ownerless(gateway) == set()
