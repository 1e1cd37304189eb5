"""An edge as a process runs it: its listeners, the admin token, several on one address, an orderly stop."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from luthien_stream.bus.memory import MemoryBus
from luthien_stream.config.instance import Instance
from luthien_stream.config.model import Config, ModelRoute
from luthien_stream.edge.process import serve
from luthien_stream.errors import ConfigError
from tests.integration.edge_rig import KEY, both_formats, request_body, running
from tests.wait import wait_until


def free_address() -> str:
    """An address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def instance() -> Instance:
    """Where the edges of a test listen."""
    return Instance(pid=1, listen=free_address(), admin=free_address(), redis="memory", database="none")


@asynccontextmanager
async def process(
    config: Config, where: Instance, data: Path, *, index: int = 0, bus: MemoryBus | None = None
) -> AsyncIterator[asyncio.Event]:
    """Run `serve` until the end of the block."""
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(serve(config, where, index=index, data=data, bus=bus, ready=ready.set, stop=stop))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        if task.done():
            task.result()
        yield stop
    finally:
        stop.set()
        await task


async def test_the_admin_listener_answers_only_with_its_token(tmp_path: Path) -> None:
    """And says what runs; the public listener has no admin path."""
    where, bus = instance(), MemoryBus()
    async with running() as outer, process(
        Config(providers={"fake": both_formats(outer.provider.url)}, database="none"), where, tmp_path, bus=bus
    ), aiohttp.ClientSession() as client:  # fmt: skip
        url = f"http://{where.admin}/luthien/api"
        for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer é"}):
            async with client.get(f"{url}/status", headers=headers) as response:
                assert response.status == 401
        token = {"authorization": f"Bearer {(tmp_path / 'admin-token').read_text().strip()}"}
        async with client.post(
            f"http://{where.listen}/v1/messages", json=request_body("text-500@20"), headers={"x-api-key": KEY}
        ) as answer:
            await answer.content.readany()
            async with client.get(f"{url}/calls", headers=token) as response:
                calls = (await response.json())["calls"]
            assert [call["call_id"] for call in calls] == [answer.headers["x-luthien-call-id"]]
            assert KEY not in json.dumps(calls)
            async with client.get(f"{url}/status", headers=token) as response:
                status = await response.json()
            assert (status["open_calls"], status["ready"], status["version"]) == (1, True, "0.1.0")
            answer.close()
        async with client.get(f"http://{where.listen}/luthien/api/status", headers=token) as response:
            assert response.status == 404


async def test_several_edges_share_one_address_and_only_the_first_has_the_admins(tmp_path: Path) -> None:
    """Each is an edge of its own in the log."""
    where = instance()
    config = Config(database="none")
    async with (
        process(config, where, tmp_path),
        process(config, where, tmp_path, index=1),
        aiohttp.ClientSession() as client,
    ):
        for _ in range(10):
            async with client.get(f"http://{where.listen}/livez", headers={"connection": "close"}) as response:
                assert response.status == 200


async def test_a_stop_ends_the_process_in_order(tmp_path: Path) -> None:
    """A running call ends well, its record is written, and the heartbeat is gone."""
    where, bus = instance(), MemoryBus()
    async with running() as outer, aiohttp.ClientSession() as client:
        config = Config(providers={"fake": both_formats(outer.provider.url)}, database="none")
        async with process(config, where, tmp_path, bus=bus) as stop:
            await wait_until(lambda: _has_edge(bus))
            async with client.post(
                f"http://{where.listen}/v1/messages", json=request_body("text-30@60"), headers={"x-api-key": KEY}
            ) as answer:
                got = await answer.content.readany()
                stop.set()
                async for part in answer.content.iter_any():
                    got += part
            assert got == b"".join(outer.provider.requests[0].sent)
        assert await bus.alive("edge") == {}


async def test_an_address_in_use_is_an_error_at_the_start(tmp_path: Path) -> None:
    """The process ends, and leaves nothing running."""
    where = instance()
    with socket.socket() as taken:
        host, _, port = where.listen.partition(":")
        taken.bind((host, int(port)))
        taken.listen()
        with pytest.raises(OSError, match=port):
            async with process(Config(database="none"), where, tmp_path, bus=MemoryBus()):
                pass


async def test_a_configuration_that_leads_nowhere_is_an_error_at_the_start(tmp_path: Path) -> None:
    """Before anything listens."""
    config = Config(models=(ModelRoute("x", "nowhere/y"),))
    with pytest.raises(ConfigError, match="nowhere"):
        async with process(config, instance(), tmp_path, bus=MemoryBus()):
            pass


async def _has_edge(bus: MemoryBus) -> bool:
    return bool(await bus.alive("edge"))
