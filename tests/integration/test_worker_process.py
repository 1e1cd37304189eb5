"""Worker processes over a real server: killed in mid-stream, caught in an endless loop, one after the other."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from luthien_stream.bus import connect, keys
from luthien_stream.bus.port import Bus
from luthien_stream.config.model import PolicyUse
from luthien_stream.core.accept import TAKEN, Intake
from luthien_stream.core.partition import partition_of
from luthien_stream.events import pack
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    Hop,
    RequestReceived,
    ResponseCompleted,
    ResponseFailed,
    ResponseStarted,
    Slip,
)
from luthien_stream.policy.catalogue import load_pipeline
from luthien_stream.worker.stall import EXIT_STATUS
from tests.servers import shared_valkey, valkey_url  # noqa: F401 - fixtures
from tests.wait import wait_until

EDGE = "e1"
POLICY = '''
"""Loops for ever at a word."""
from luthien_stream.policy import Policy, Text

class Loops(Policy):
    async def response(self, events, ctx):
        async for event in events:
            while isinstance(event, Text) and "LOOP" in event.text:
                pass
            yield event
'''
PROCESS = """
import asyncio, signal, sys
from pathlib import Path
from luthien_stream.config.instance import Instance
from luthien_stream.config.model import Config, PolicyUse
from luthien_stream.worker.process import serve

async def main(redis, folder):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    instance = Instance(1, "", "", redis, "none", config=f"{folder}/luthien.yaml")
    config = Config(pipeline=(PolicyUse(use="loops"),))
    await serve(config, instance, data=Path(folder), ready=lambda: print("ready", flush=True), stop=stop)

asyncio.run(main(*sys.argv[1:]))
"""


class Player:
    """An edge by hand, and worker processes."""

    def __init__(self, url: str, folder: Path) -> None:
        (folder / "workers").mkdir()
        (folder / "workers" / "loops.py").write_text(POLICY)
        pipeline = load_pipeline([PolicyUse(use="loops")], folder / "workers")
        assert pipeline is not None
        self.stage = pipeline.stage
        self.bus: Bus = connect(url)
        self._url, self._folder = url, folder
        self._intakes: dict[str, Intake] = {}
        self.lanes: dict[str, list[AnyEvent]] = {}
        self._position = "0-0"
        self.processes: list[asyncio.subprocess.Process] = []

    async def worker(self) -> asyncio.subprocess.Process:
        """Start a worker process and wait until it is ready."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROCESS, self._url, str(self._folder), stdout=asyncio.subprocess.PIPE
        )
        self.processes.append(process)
        assert process.stdout is not None
        while b"ready" not in await asyncio.wait_for(process.stdout.readline(), 20):
            pass
        return process

    async def send(self, call: str, *events: AnyEvent) -> None:
        """Publish as the edge does."""
        stream = keys.partition_stream(keys.partition(self.stage, partition_of(call)))
        await self.bus.append(stream, pack.encode(f"edge:{EDGE}", events))

    async def open(self, call: str) -> None:
        """Publish the request and the beginning of its answer."""
        slip = Slip("v", (Hop(self.stage, partition_of(call)),), f"stage:{self.stage}")
        body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}).encode()
        request = RequestReceived(
            call=call, n=0, edge=EDGE, slip=slip, format="openai_chat", path="/", body=body, model="m", streamed=True
        )
        await self.send(call, request, ResponseStarted(call=call, n=1, status=200, streamed=True))

    async def released(self, call: str) -> list[bytes]:
        """Read the inbox on; return the frames of a call."""
        for entry in await self.bus.range(keys.inbox(EDGE), self._position):
            self._position = entry.id
            found = pack.decode(entry.raw)
            for event in found.events:
                intake = self._intakes.setdefault(event.call, Intake(f"stage:{self.stage}"))
                outcome = intake.accept(found.src, event)
                assert outcome in (TAKEN, "note", "repeat")
                if outcome == TAKEN:
                    self.lanes.setdefault(event.call, []).append(event)
        return [event.frame for event in self.lanes.get(call, ()) if isinstance(event, ChunkReleased)]

    async def end(self, call: str) -> AnyEvent:
        """Wait for the terminal event of a call."""

        async def ended() -> bool:
            await self.released(call)
            return call in self._intakes and self._intakes[call].over

        await wait_until(ended, timeout=30)
        return self.lanes[call][-1]


def chunk(text: str) -> bytes:
    """A frame of an answer."""
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
    return b"data: " + json.dumps({"id": "x", "model": "m", "created": 1, "choices": [choice]}).encode() + b"\n\n"


def received(call: str, first: int, frames: Sequence[bytes]) -> list[AnyEvent]:
    """Chunks from an ordinal on."""
    return [ChunkReceived(call=call, n=first + i, frame=frame) for i, frame in enumerate(frames)]


LAST = [
    b'data: {"id":"x","model":"m","created":1,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
]


@pytest.fixture
async def player(valkey_url: str, tmp_path: Path) -> AsyncIterator[Player]:  # noqa: F811
    player = Player(valkey_url, tmp_path)
    yield player
    for process in player.processes:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()
    await player.bus.close()


async def test_a_killed_worker_is_taken_over_in_mid_stream(player: Player) -> None:
    """No chunk is lost, doubled or changed; the second worker goes on where the first one was."""
    first = await player.worker()
    await player.open("c")
    frames = [chunk(f"word {i}") for i in range(40)]
    await player.send("c", *received("c", 2, frames[:20]))

    async def half() -> bool:
        return len(await player.released("c")) >= 15

    await wait_until(half)
    first.send_signal(signal.SIGKILL)
    await first.wait()
    await player.worker()
    await player.send("c", *received("c", 22, frames[20:] + LAST))
    await player.send("c", ResponseCompleted(call="c", n=44, lane="original"))
    assert isinstance(await player.end("c"), ResponseCompleted)
    assert await player.released("c") == frames + LAST


async def test_an_endless_loop_costs_one_call(player: Player) -> None:
    """The worker ends itself with its last words; the next one cuts that call at once and serves the others."""
    first = await player.worker()
    await player.open("bad")
    await player.open("good")
    await player.send("bad", *received("bad", 2, [chunk("LOOP"), *LAST]))
    assert await asyncio.wait_for(first.wait(), 30) == EXIT_STATUS
    second = await player.worker()
    bad = await player.end("bad")
    assert isinstance(bad, ResponseFailed)
    assert bad.error == "poison"
    await player.send("good", *received("good", 2, [chunk("fine"), *LAST]))
    await player.send("good", ResponseCompleted(call="good", n=5, lane="original"))
    assert isinstance(await player.end("good"), ResponseCompleted)
    second.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(second.wait(), 20) == 0
