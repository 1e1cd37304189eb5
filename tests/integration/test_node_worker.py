"""The worker in Node.js that was written from `schemas/worker-protocol.md` alone: its lane, and its death."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from luthien_stream.bus import connect, keys
from luthien_stream.bus.port import Bus
from luthien_stream.core.accept import Intake
from luthien_stream.core.partition import PARTITIONS, partition_of
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    ChunkSeen,
    Hop,
    Known,
    RequestReceived,
    ResponseCompleted,
    ResponseStarted,
    Slip,
)
from luthien_stream.events.pack import decode, encode
from luthien_stream.upstream.render import STREAMS
from luthien_stream.upstream.script import Answer, Say, words
from tests.servers import shared_valkey, valkey_url  # noqa: F401 - fixtures
from tests.wait import wait_until

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "node_worker"
NODE = shutil.which("node")
TEXT = "hello brave new world, it's mine "
pytestmark = pytest.mark.skipif(NODE is None, reason="there is no Node.js here")


@contextmanager
def node_worker(url: str, stage: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process, ended with SIGTERM."""
    words = [str(NODE), str(EXAMPLE / "worker.mjs"), "--redis", url, "--stage", stage, "--unrecorded"]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        finally:
            process.kill()
            process.wait(10)


class Edge:
    """What an edge does to a stage: it publishes calls, event by event, and takes what comes back into its inbox."""

    def __init__(self, bus: Bus, stage: str, formats: Sequence[str]) -> None:
        self._bus, self._stage, self.name = bus, stage, f"edge-{uuid.uuid4().hex[:8]}"
        self.calls = {_call_id(): format for format in formats}
        self._intakes = {call: Intake(f"stage:{stage}") for call in self.calls}
        self.lanes: dict[str, list[AnyEvent]] = {call: [] for call in self.calls}
        self.seen: dict[str, int] = {}
        self.refused: list[str] = []

    @property
    def done(self) -> bool:
        """Every lane has its terminal event."""
        return all(intake.over for intake in self._intakes.values())

    async def publish(self, call: str, pause_s: float) -> None:
        """Publish one call, an entry an event."""
        stream = keys.partition_stream(keys.partition(self._stage, partition_of(call)))
        for event in _events(call, self.name, self._stage, self.calls[call]):
            await self._bus.append(stream, encode(f"edge:{self.name}", [event]))
            await asyncio.sleep(pause_s)

    async def listen(self) -> None:
        """Take outputs as an edge does: the next ordinal with the right digest, nothing else."""
        position = "0-0"
        async with self._bus.reader() as reader:
            while not self.done:
                for entry in await reader.read({keys.inbox(self.name): position}, count=64, block_ms=200):
                    position, pack = entry.id, decode(entry.raw)
                    for event in pack.events:
                        self._take(pack.src, event)

    def _take(self, src: str, event: AnyEvent) -> None:
        if isinstance(event, ChunkSeen):
            self.seen[event.call] = max(event.upto, self.seen.get(event.call, 0))
            return
        outcome = self._intakes[event.call].accept(src, event)
        if outcome == "taken":
            self.lanes[event.call].append(event)
        else:
            self.refused.append(outcome)


@pytest.fixture
async def bus(valkey_url: str) -> AsyncIterator[Bus]:  # noqa: F811
    made = connect(valkey_url)
    yield made
    await made.close()


def _call_id() -> str:
    """A UUIDv7 of now."""
    raw = bytearray(int(time.time() * 1000).to_bytes(6, "big") + os.urandom(10))
    raw[6], raw[8] = 0x70 | raw[6] & 15, 0x80 | raw[8] & 63
    return str(uuid.UUID(bytes=bytes(raw)))


def _frames(format: str) -> Sequence[bytes]:
    return STREAMS[format](Answer("m", (Say(words(TEXT * 8)),)), True)


def _events(call: str, edge: str, stage: str, format: str) -> Iterator[Known]:
    slip = Slip("v", (Hop(stage, partition_of(call)),), f"stage:{stage}")
    events: list[Known] = [
        RequestReceived(call=call, edge=edge, slip=slip, format=format, path="/", body=b"{}", model="m", streamed=True),
        ResponseStarted(call=call, status=200, streamed=True, headers=(("x", "y"),)),
        *(ChunkReceived(call=call, frame=frame) for frame in _frames(format)),
        ResponseCompleted(call=call, lane="original", usage={"output_tokens": 3, "share": 1.0}),
    ]
    for n, event in enumerate(events):
        event.n = n
        yield event


def _text(lane: Sequence[AnyEvent]) -> str:
    said = ""
    for event in lane:
        if isinstance(event, ChunkReleased) and event.frame.startswith(b"data: {"):
            choices = json.loads(event.frame[6:])["choices"]
            said += (choices[0]["delta"].get("content") or "") if choices else ""
    return said


async def _serving(bus: Bus, stage: str, workers: int) -> None:
    """Wait until so many workers share all partitions."""

    async def shared() -> bool:
        holders = [await bus.lease_holder(keys.partition(stage, number)) for number in range(PARTITIONS)]
        return all(holders) and len(set(holders)) == workers

    await wait_until(shared, timeout=30)


def _check(edge: Edge) -> None:
    """Every lane is whole and right: capitals in `openai_chat`, the provider's own bytes in all others."""
    for call, format in edge.calls.items():
        lane, frames = edge.lanes[call], _frames(format)
        kinds = [type(event).__name__ for event in lane]
        assert kinds == ["RequestReleased", "ResponseStarted", *["ChunkReleased"] * len(frames), "ResponseCompleted"]
        released = [event for event in lane if isinstance(event, ChunkReleased)]
        if format == "openai_chat":
            assert _text(lane) == "Hello Brave New World, It's Mine " * 8
        else:
            assert [event.frame for event in released] == [*frames]
            assert [event.of for event in released] == list(range(2, 2 + len(frames)))
        end = lane[-1]
        assert isinstance(end, ResponseCompleted)
        assert (end.lane, end.usage) == ("final", {"output_tokens": 3, "share": 1.0})
        assert [(ran.name, ran.version) for ran in end.policies] == [("title_case", "1")]


async def test_it_transforms_a_live_stream(bus: Bus, valkey_url: str) -> None:  # noqa: F811
    """Numbered without holes, each event with the digest of the lane before it, and the edge has its credit."""
    stage = f"title_case@{uuid.uuid4().hex[:8]}"
    edge = Edge(bus, stage, ["openai_chat", "anthropic_messages", "openai_responses"] * 2)
    await bus.beat("edge", edge.name, {}, ttl_ms=60_000)
    with node_worker(valkey_url, stage) as process:
        await _serving(bus, stage, 1)
        async with asyncio.timeout(20):
            await asyncio.gather(edge.listen(), *(edge.publish(call, 0.003) for call in edge.calls))
        _check(edge)
        assert edge.refused == []
        assert all(16 <= edge.seen.get(call, 0) <= len(edge.lanes[call]) for call in edge.calls)
        assert [await bus.open_calls(keys.partition(stage, number)) for number in range(PARTITIONS)] == [{}] * 4
    assert process.returncode == 0
    assert [await bus.lease_holder(keys.partition(stage, number)) for number in range(PARTITIONS)] == [""] * 4
    assert not any(facts.get("stages") == stage for facts in (await bus.alive("worker")).values())


@pytest.mark.long
async def test_it_survives_its_own_sigkill(bus: Bus, valkey_url: str) -> None:  # noqa: F811
    """Two processes, one killed in mid-stream: the other runs the open calls again, and no byte is wrong."""
    stage = f"title_case@{uuid.uuid4().hex[:8]}"
    edge = Edge(bus, stage, ["openai_chat", "openai_chat", "anthropic_messages"] * 8)
    await bus.beat("edge", edge.name, {}, ttl_ms=120_000)
    with ExitStack() as stack:
        first, _ = (stack.enter_context(node_worker(valkey_url, stage)) for _ in range(2))
        await _serving(bus, stage, 2)
        running = asyncio.gather(edge.listen(), *(edge.publish(call, 0.05) for call in edge.calls))
        await wait_until(lambda: all(len(lane) > 10 for lane in edge.lanes.values()))
        held = {n: await bus.lease_holder(keys.partition(stage, n)) for n in range(PARTITIONS)}
        first.kill()
        lost = {n for n, holder in held.items() if holder.startswith(f"{first.pid}-")}
        moved = [call for call in edge.calls if partition_of(call) in lost and len(edge.lanes[call]) < 40]
        assert moved, "no call was in the middle of its answer"
        async with asyncio.timeout(60):
            await running
        await _serving(bus, stage, 1)
    _check(edge)
    assert set(edge.refused) <= {"repeat"}


def test_it_reads_and_chains_as_the_page_says() -> None:
    """Every golden example comes out of its MessagePack as it went in, and the page's digests are its digests."""
    program = """
        const { readFileSync, readdirSync } = await import("node:fs");
        const { decode, encode } = await import(`${process.argv[1]}/msgpack.mjs`);
        const { chain } = await import(`${process.argv[1]}/call.mjs`);
        const found = {};
        for (const file of readdirSync(process.argv[2]).filter((name) => name.endsWith(".msgpack"))) {
          const value = decode(readFileSync(`${process.argv[2]}/${file}`));
          found[file] = { digest: chain(0, value), again: encode(value).toString("base64") };
        }
        console.log(JSON.stringify(found));
    """
    examples = ROOT / "schemas" / "examples"
    words = [str(NODE), "--input-type=module", "-e", program, str(EXAMPLE), str(examples)]
    found: Mapping[str, Mapping[str, object]] = json.loads(subprocess.check_output(words, timeout=20))
    assert len(found) > 20
    for name, one in found.items():
        again = base64.b64decode(str(one["again"]))
        assert msgspec.msgpack.decode(again) == msgspec.msgpack.decode((examples / name).read_bytes())
    page = (ROOT / "schemas" / "worker-protocol.md").read_text()
    for name in ("chunk.released", "verdict.reached", "response.completed"):
        assert f"| `examples/{name}.msgpack` | {found[f'{name}.msgpack']['digest']} |" in page
