"""A worker is killed when its turn has been executed and it does not know it yet: nothing is lost, nothing doubled."""

from __future__ import annotations

import asyncio
import hashlib
import re
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from luthien_stream.bus.redis.scripts import text
from luthien_stream.core.partition import partition_of
from luthien_stream.testing.provider import FakeProvider
from tests.acceptance.clients import Received, ask_all
from tests.acceptance.fleet import HOLD, PASS, STREAMS, check, owners, requests, spread, undisturbed
from tests.acceptance.gateway import COMMAND, Gateway
from tests.proxy import Proxy
from tests.wait import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
ROUNDS = 4
SETTLE = hashlib.sha1(text("settle").encode()).hexdigest().encode()
RELEASING = re.compile(rb"EVALSHA\r\n\$40\r\n%b\r\n\$\d+\r\n([5-9]|\d\d)\r\n.*chunk\.released" % SETTLE, re.DOTALL)
"""A settle with a stream to write to, over the four keys that every one has, and released chunks for it."""


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        yield fake


def start_worker(gateway: Gateway, redis: str) -> subprocess.Popen[bytes]:
    """One more worker for the gateway, which finds the log at another URL."""
    config = gateway.folder / "behind.yaml"
    config.write_text(yaml.safe_dump({**gateway.config, "redis": redis, "database": gateway.instance.database}))
    words = ["worker", "--config", str(config), "--data", str(gateway.folder / "behind")]
    with (gateway.folder / "worker.log").open("ab") as output:
        return subprocess.Popen([COMMAND, *words], stdout=output, stderr=subprocess.STDOUT)


@asynccontextmanager
async def worker_behind(proxy: Proxy, gateway: Gateway) -> AsyncIterator[subprocess.Popen[bytes]]:
    """One more worker, which reaches the log through the proxy only."""
    worker = start_worker(gateway, proxy.url)
    try:
        await wait_until(lambda: spread(gateway), timeout=30)
        yield worker
    finally:
        worker.kill()
        worker.wait()


async def killed_between(gateway: Gateway, proxy: Proxy, *, after: int) -> tuple[list[Received], int]:
    """Run all streams and kill the worker between a settle and its reply.

    Return what the clients got, and how many streams changed owner between two of their chunks.
    """
    got: list[Received] = []
    async with worker_behind(proxy, gateway) as worker:
        running = asyncio.create_task(ask_all(gateway.url, requests(), got))
        await wait_until(lambda: len(got) == STREAMS and all(len(one.arrivals) > after for one in got), timeout=30)
        await asyncio.wait_for(proxy.withhold_reply(RELEASING).wait(), 10)
        before, start = await owners(gateway), time.monotonic()
        worker.kill()
        lost = {p for p, holder in before.items() if holder.startswith(f"{worker.pid}-")}

        async def taken_over() -> bool:
            now = await owners(gateway)
            return all(now[p] not in ("", before[p]) for p in lost)

        await wait_until(taken_over, timeout=30)
        end = time.monotonic()
        await running
    return got, sum(partition_of(one.call_id) in lost and one.between(start, end) for one in got)


@pytest.mark.parametrize("pipeline", [PASS, HOLD], ids=["noop", "holds-text"])
async def test_a_worker_killed_between_settle_and_reply_is_taken_over_without_a_wrong_byte(
    tmp_path: Path, provider: FakeProvider, pipeline: list[dict[str, Any]]
) -> None:
    """Four times, at another place of the streams each: the next owner goes on behind what was settled."""
    async with Gateway(tmp_path, provider.url, pipeline=pipeline) as gateway:
        calm = await undisturbed(gateway)
        async with Proxy(gateway.instance.redis, tmp_path) as proxy:
            for turn in range(ROUNDS):
                got, moved = await killed_between(gateway, proxy, after=3 + 7 * turn)
                check(got, calm)
                assert moved >= 8, f"round {turn}: only {moved} streams changed owner"
        await gateway.proved((1 + ROUNDS) * STREAMS)
