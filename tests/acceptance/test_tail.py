"""`luthien-stream tail --json` beside a busy gateway shows every frame within a second of its arrival."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest

from luthien_stream.testing.provider import FakeProvider
from tests.acceptance.clients import Received, ask, ask_all, body, session
from tests.acceptance.gateway import COMMAND, Gateway
from tests.wait import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(180)]
STREAMS, PIECES, RATE = 64, 200, 20
CHUNKS = ("chunk.received", "chunk.released")


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        yield fake


class Watcher:
    """What `tail` printed: the delay of each event by its id, seconds from the event's own time to its line."""

    def __init__(self) -> None:
        self.delays: dict[str, float] = {}
        self.ends = 0
        """Calls whose delivery has been shown."""

    def note(self, line: bytes) -> None:
        """Take one line, read now."""
        now, event = time.time(), json.loads(line)
        self.ends += event["type"] == "response.delivered"
        if event["type"] in CHUNKS:
            assert event["id"] not in self.delays, "shown twice"
            self.delays[event["id"]] = now - datetime.fromisoformat(event["time"]).timestamp()


@asynccontextmanager
async def tail(gateway: Gateway) -> AsyncIterator[Watcher]:
    """Run the command until the context is left."""
    words = ("tail", "--json", "--data", str(gateway.data))
    process = await asyncio.create_subprocess_exec(COMMAND, *words, stdout=asyncio.subprocess.PIPE)
    watcher = Watcher()

    async def read() -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            watcher.note(line)

    reading = asyncio.create_task(read())
    try:
        yield watcher
    finally:
        process.terminate()
        await process.wait()
        await reading


async def first_line(gateway: Gateway, watcher: Watcher) -> int:
    """Ask until `tail` shows something; return how many calls that took."""
    asked = 0
    async with session() as http:
        while not watcher.delays:
            await ask(http, gateway.url, "openai_chat", body("gpt/text-1"))
            asked += 1
            await asyncio.sleep(0.1)
    return asked


def share_within(delays: list[float], bound: float) -> float:
    """The share of the delays that are below a bound, seconds."""
    return sum(delay < bound for delay in delays) / len(delays)


async def test_a_frame_is_shown_within_a_second_of_its_arrival(tmp_path: Path, provider: FakeProvider) -> None:
    """64 streams with 20 frames a second each, as they came in and as they were released: each once, and soon."""
    formats = (("anthropic_messages", "claude"), ("openai_chat", "gpt"))
    wanted = [
        (f, body(f"{name}/text-{PIECES}@{RATE}", said=str(i))) for i in range(STREAMS // 2) for f, name in formats
    ]
    async with Gateway(tmp_path, provider.url, pipeline=[{"use": "noop"}]) as gateway, tail(gateway) as watcher:
        await first_line(gateway, watcher)
        watcher.delays.clear()
        ended, got = watcher.ends, list[Received]()
        await ask_all(gateway.url, wanted, got)
        assert [one.broken for one in got] == [""] * STREAMS
        await wait_until(lambda: watcher.ends >= ended + STREAMS, timeout=10)
    delays = list(watcher.delays.values())
    frames = sum(one.body.count(b"\n\n") for one in got)
    assert len(delays) >= 2 * frames > 2 * STREAMS * PIECES
    assert max(delays) < 1, f"slowest {max(delays):.2f} s, {share_within(delays, 0.5):.2%} below 0.5 s"
