"""`tail` as a process of its own beside a busy gateway."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from luthien_stream.bus import connect
from luthien_stream.bus.port import Bus
from luthien_stream.embedded.valkey import EmbeddedValkey
from luthien_stream.events.log import ChunkReceived, ChunkReleased
from luthien_stream.events.pack import encode
from tests.integration.activity_rig import INBOX, PARTITION, register
from tests.recorded import EDGE, STAGE, call_id
from tests.wait import wait_until

STREAMS = 64
RATE = 20
"""Frames a second and stream."""
SECONDS = 2


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    """A log."""
    server = EmbeddedValkey(tmp_path / "valkey")
    await server.start()
    yield server
    await server.stop()


class Watcher:
    """Runs `tail --json` and notes when each event was printed."""

    def __init__(self) -> None:
        self.printed: dict[str, float] = {}
        """Seconds between the event and its line, by the event's id."""

    async def run(self, config: Path) -> None:
        """Read until cancelled."""
        words = ["-m", "luthien_stream.cli.main", "tail", "--json", "--config", str(config)]
        process = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                event = json.loads(line)
                assert event["id"] not in self.printed
                self.printed[event["id"]] = time.time() - datetime.fromisoformat(event["time"]).timestamp()
        finally:
            process.terminate()
            await process.wait()


async def test_a_frame_is_shown_within_a_second(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    """64 streams with 20 frames a second each, both lanes: every frame once, and soon."""
    config = tmp_path / "luthien.yaml"
    config.write_text(f"redis: {json.dumps(valkey.url)}\ndatabase: none\n")
    bus, watcher = connect(valkey.url), Watcher()
    await register(bus)
    watching = asyncio.create_task(watcher.run(config))
    await wait_until(lambda: began(bus, watcher), timeout=20)
    for n in range(RATE * SECONDS):
        begin = time.monotonic()
        for stream in range(0, STREAMS, 2):
            await publish(bus, stream, n)
        await asyncio.sleep(max(0, 1 / RATE - (time.monotonic() - begin)))
    await wait_until(lambda: len(delays(watcher)) == 2 * STREAMS * RATE * SECONDS)
    assert max(delays(watcher)) < 1
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await bus.close()


def delays(watcher: Watcher) -> list[float]:
    """How long each frame of the streams took, seconds."""
    return [delay for id, delay in watcher.printed.items() if not id.startswith("begin")]


async def began(bus: Bus, watcher: Watcher) -> bool:
    """Write until the first line is printed."""
    await bus.append(PARTITION, encode(EDGE, [ChunkReceived(call="begin", time=time.time_ns() // 1000, frame=b"")]))
    return bool(watcher.printed)


async def publish(bus: Bus, stream: int, n: int) -> None:
    """One frame of two streams, received and released."""
    calls, now = (call_id(stream), call_id(stream + 1)), time.time_ns() // 1000
    frame = b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
    await bus.append(PARTITION, encode(EDGE, [ChunkReceived(call=c, n=n, frame=frame, time=now) for c in calls]))
    await bus.append(INBOX, encode(STAGE, [ChunkReleased(call=c, n=n, frame=frame, of=n, time=now) for c in calls]))
