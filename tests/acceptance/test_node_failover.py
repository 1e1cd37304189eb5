"""A stage whose workers are Node.js processes, in the whole product: one is killed in mid-stream."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from luthien_stream.bus import connect, keys
from luthien_stream.config.instance import FILE
from luthien_stream.core.partition import PARTITIONS, partition_of
from luthien_stream.testing.provider import FakeProvider
from tests.acceptance.clients import Received, ask_all
from tests.acceptance.fleet import STREAMS, check, requests, undisturbed
from tests.acceptance.gateway import Gateway
from tests.wait import wait_until

NODE = shutil.which("node")
PROGRAM = Path(__file__).parents[2] / "docs" / "examples" / "node_worker" / "worker.mjs"
STAGE = "title_case@1"
PIPELINE = [{"external": "title_case", "version": "1", "phases": ["response"]}]
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.skipif(NODE is None, reason="there is no Node.js here"),
]


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        yield fake


@contextmanager
def node_worker(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process, ended with SIGTERM."""
    process = subprocess.Popen([str(NODE), str(PROGRAM), "--redis", url, "--stage", STAGE], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        finally:
            process.kill()
            process.wait(10)


async def owners(gateway: Gateway) -> dict[int, str]:
    """Which worker owns which partition of the stage."""
    bus = connect(gateway.instance.redis)
    try:
        return {n: await bus.lease_holder(keys.partition(STAGE, n)) for n in range(PARTITIONS)}
    finally:
        await bus.close()


@asynccontextmanager
async def served_by_node(folder: Path, provider: str) -> AsyncIterator[tuple[Gateway, subprocess.Popen[bytes]]]:
    """A gateway, and one of the two workers of its stage. It is not ready before they are there."""
    gateway = Gateway(folder, provider, pipeline=PIPELINE)
    starting = asyncio.create_task(gateway.start())
    try:
        await wait_until((gateway.data / FILE).exists, timeout=60)
        with ExitStack() as stack:
            first, _ = (stack.enter_context(node_worker(gateway.instance.redis)) for _ in range(2))
            await starting
            yield gateway, first
    finally:
        await gateway.__aexit__(None, None, None)


async def test_a_killed_node_worker_is_taken_over_without_a_wrong_byte(tmp_path: Path, provider: FakeProvider) -> None:
    """32 streams in two formats over two processes; at least 4 are taken over between two chunks."""
    async with served_by_node(tmp_path, provider.url) as (gateway, first):

        async def shared() -> bool:
            held = (await owners(gateway)).values()
            return all(held) and len(set(held)) == 2

        await wait_until(shared, timeout=30)
        calm = await undisturbed(gateway)
        assert any(b"Alpha" in body for body in calm)
        got: list[Received] = []
        running = asyncio.create_task(ask_all(gateway.url, requests(), got))
        await wait_until(lambda: len(got) == STREAMS and all(len(one.arrivals) > 8 for one in got), timeout=30)
        lost = {n for n, holder in (await owners(gateway)).items() if holder.startswith(f"{first.pid}-")}
        killed = time.monotonic()
        first.kill()
        await running
        check(got, calm)
        assert sum(partition_of(one.call_id) in lost and one.between(killed, killed + 3) for one in got) >= 4
        await wait_until(lambda: len(gateway.replayed()) >= 2 * STREAMS, timeout=60)
        assert set(gateway.replayed().values()) == {"same"}
