"""A real edge on an ephemeral port, with the memory bus and the fake provider."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import aiohttp
from msgspec import Struct

from luthien_stream.bus.memory import MemoryBus
from luthien_stream.bus.port import START, Bus
from luthien_stream.config.model import Config, Provider
from luthien_stream.core.sse import Splitter
from luthien_stream.edge.edge import Edge
from luthien_stream.edge.models import Models
from luthien_stream.edge.server import Server
from luthien_stream.events import log, pack
from luthien_stream.formats import LENSES
from luthien_stream.policy.api import Policy
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.stages import Stage, Stages
from luthien_stream.testing.provider import FakeProvider
from luthien_stream.upstream.client import NativeClient
from luthien_stream.upstream.demo import DemoUpstream
from luthien_stream.worker.limits import Limits
from luthien_stream.worker.process import Worker
from tests.recorded_bus import verified
from tests.wait import wait_until

PATHS = {
    "anthropic_messages": "/v1/messages",
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
}
FORMATS = sorted(PATHS)
KEY = "sk-client-canary-42"
E = TypeVar("E", bound=log.LogEvent)


class Got(Struct):
    """What a client received."""

    status: int
    headers: dict[str, str]
    body: bytes
    broken: bool = False
    """The connection broke before the end."""

    @property
    def call(self) -> str:
        """The call's id."""
        return self.headers["x-luthien-call-id"]

    @property
    def frames(self) -> list[bytes]:
        """The body as frames."""
        return Splitter().feed(self.body)


class Rig:
    """An edge, its bus, its provider, and a client."""

    def __init__(self, edge: Edge, bus: Bus, provider: FakeProvider, url: str, client: aiohttp.ClientSession) -> None:
        self.edge = edge
        self.shared = bus
        self.provider = provider
        self.url = url
        self.client = client

    @property
    def bus(self) -> MemoryBus:
        """The bus, where the test did not bring a server of its own."""
        assert isinstance(self.shared, MemoryBus)
        return self.shared

    async def ask(self, model: str, format: str = "anthropic_messages", *, stream: bool = True, **more: Any) -> Got:
        """Send a well-formed request; return all that comes back."""
        body = more.pop("body", None) or request_body(model, format, stream=stream, **more.pop("fields", {}))
        headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01"} if format == "anthropic_messages" else {}
        headers = more.pop("headers", None) or headers or {"authorization": f"Bearer {KEY}"}
        return await self.send(
            "POST", PATHS[format] + more.pop("query", ""), headers=headers, data=io.BytesIO(json.dumps(body).encode())
        )

    async def send(self, method: str, path: str, **more: Any) -> Got:
        """Send any request; return all that comes back, as far as it comes."""
        async with self.client.request(method, self.url + path, **more) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            parts, broken = [], False
            try:
                async for part in response.content.iter_any():
                    parts.append(part)
            except aiohttp.ClientError:
                broken = True
            return Got(response.status, headers, b"".join(parts), broken)

    async def events(self, call: str = "") -> list[tuple[str, str, log.AnyEvent]]:
        """(stream, source, event) of everything in the log, or of one call; what waits for company is written first."""
        await wait_until(lambda: all(outbox.idle for outbox in self.edge.outboxes.all))
        found = []
        for stream in self.bus.data.streams:
            for entry in await self.bus.range(stream, START, count=1_000_000):
                read = pack.decode(entry.raw)
                found += [(stream, read.src, event) for event in read.events if call in ("", event.call)]
        return found

    async def one(self, call: str, kind: type[E]) -> E:
        """The one event of this type that the call has."""
        found = await self.all(call, kind)
        assert len(found) == 1, f"{len(found)} of {kind.__name__}"
        return found[0]

    async def all(self, call: str, kind: type[E]) -> list[E]:
        """All events of this type that the call has."""
        return [event for _, _, event in await self.events(call) if isinstance(event, kind)]

    async def delivered(self, call: str) -> bool:
        """The call is closed on record."""
        return bool(await self.all(call, log.ResponseDelivered))

    async def dump(self) -> bytes:
        """Every byte that the log holds."""
        parts = [
            entry.raw
            for stream in self.bus.data.streams
            for entry in await self.bus.range(stream, START, count=1_000_000)
        ]
        kept = [*self.bus.data.bodies.values(), *self.bus.data.values.values()]
        return b"\n".join([*parts, *(one.body for one in kept)])


def request_body(
    model: str, format: str = "anthropic_messages", *, stream: bool = True, **fields: Any
) -> dict[str, Any]:
    """A request in this format; the one of messages is good as chat too."""
    said = [{"role": "user", "content": "Hello there"}]
    if format == "openai_responses":
        return {"model": model, "max_output_tokens": 1000, "input": said, "stream": stream, **fields}
    return {"model": model, "max_tokens": 1000, "messages": said, "stream": stream, **fields}


@asynccontextmanager
async def running(
    *policies: Policy,
    bus: Bus | None = None,
    pipeline: Pipeline | None = None,
    stages: Stages | None = None,
    workers: int = 1,
    litellm: NativeClient | None = None,
    unproved: str = "",
    **config: Any,
) -> AsyncIterator[Rig]:
    """Run an edge in front of a fake provider that speaks both formats, and workers if there are policies.

    What was recorded is run again at the end, and must come out the same, unless `unproved` says why it cannot.
    `config` are fields of `Config`.
    """
    bus = bus or MemoryBus()
    stages = stages or Stages.of(pipeline or (Pipeline.of(policies) if policies else None))
    async with (
        FakeProvider() as fake,
        aiohttp.ClientSession(auto_decompress=False) as client,
        AsyncExitStack() as stack,
    ):
        config.setdefault("providers", {"fake": both_formats(fake.url)})
        for stage in stages.pipelines:
            for _ in range(workers):
                await stack.enter_async_context(working(bus, stage, known=stages.enforcing))
        settings = Config(**config)
        edge = Edge(settings, bus, stages, LENSES, NativeClient(), DemoUpstream(), litellm)
        server = Server(edge, Models(settings.auth, edge.router, edge.providers))
        edge.inbox.block_ms = 50
        await edge.start()
        port = await server.listen("127.0.0.1", 0)
        try:
            yield Rig(edge, bus, fake, f"http://127.0.0.1:{port}", client)
            failed = False
        except BaseException:
            failed = True
            raise
        finally:
            await server.stop_listening()
            # Together: each waits for a read of the log to return.
            await asyncio.gather(edge.stop(0.2), stack.aclose())
            await server.close()
            if isinstance(bus, MemoryBus) and workers and not (failed or unproved):
                wrong = [one for one in await verified(bus, stages.pipelines) if one.status != "same"]
                assert not wrong, "\n".join(f"replay: {one.status}: {one.why}" for one in wrong)


@asynccontextmanager
async def working(bus: Bus, pipeline: Pipeline, known: Iterable[Stage] = ()) -> AsyncIterator[None]:
    """Run a worker in this process."""
    stop, ready = asyncio.Event(), asyncio.Event()
    worker = Worker(bus, [pipeline], url="", limits=Limits(block_s=0.05), known=known)
    task = asyncio.create_task(worker.run(ready.set, stop))
    try:
        await ready.wait()
        yield
    finally:
        stop.set()
        await task


def both_formats(url: str, **more: Any) -> Provider:
    """The fake provider as a passthrough provider."""
    formats: Any = tuple(FORMATS)
    return Provider(base_url=url, format=formats, passthrough=True, **more)
