"""The record while servers go away and come back: nothing is lost, and memory is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from luthien_stream.activity.consumer import ENOUGH_BYTES, ENTRIES
from luthien_stream.activity.process import serve
from luthien_stream.activity.store import Store
from luthien_stream.bus import connect
from luthien_stream.bus.memory import MemoryBus
from luthien_stream.bus.port import Bus
from luthien_stream.config.instance import Instance
from luthien_stream.config.model import Config
from luthien_stream.embedded.postgres import EmbeddedPostgres
from luthien_stream.embedded.valkey import EmbeddedValkey
from luthien_stream.errors import BusError
from luthien_stream.events.log import ChunkReceived
from luthien_stream.events.pack import encode
from tests.integration.activity_rig import (
    INBOX,
    all_recorded,
    assert_recorded,
    consuming,
    database,
    open_store,
    publish,
    register,
)
from tests.recorded import EDGE, MadeCall, made_call, relayed_call
from tests.wait import wait_until


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A server that the test may end."""
    async with database(tmp_path / "postgres") as server:
        yield server


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    """A server that the test may end."""
    server = EmbeddedValkey(tmp_path / "valkey")
    await server.start()
    yield server
    await server.stop()


async def test_an_outage_of_postgres_is_caught_up(postgres: EmbeddedPostgres) -> None:
    """While it is away one batch is in hand and the rest waits in the log; afterwards everything is stored."""
    bus = MemoryBus()
    await register(bus)
    calls = [made_call(i) for i in range(200)]
    async with open_store(postgres.dsn) as store, consuming(bus, store) as consumer:
        await publish(bus, calls[:50])
        await wait_until(lambda: consumer.stored > 0)
        postgres.kill()
        for n in range(400):
            await bus.append(INBOX, encode(EDGE, [ChunkReceived(call="large", n=n, frame=bytes(1 << 16))]))
        await publish(bus, calls[50:])

        async def waits() -> bool:
            facts = (await bus.alive("activity")).get(consumer.name, {})
            return facts.get("waits_for") == "database"

        await wait_until(waits)
        assert (await bus.lag(INBOX)).pending << 16 <= ENOUGH_BYTES + (ENTRIES << 16)
        await postgres.start()
        await all_recorded(bus)
        await assert_recorded(store, calls)


async def test_a_start_without_postgres_waits_for_it(tmp_path: Path) -> None:
    """The role starts, says that it is ready, and migrates once the server is there."""
    server = EmbeddedPostgres(tmp_path / "postgres")
    await server.start()
    await server.stop()
    bus, stop, ready = MemoryBus(), asyncio.Event(), asyncio.Event()
    await register(bus)
    instance = Instance(1, "", "", "memory", server.dsn)
    task = asyncio.create_task(serve(Config(), instance, data=tmp_path, bus=bus, ready=ready.set, stop=stop))
    await asyncio.wait_for(ready.wait(), 10)
    await publish(bus, [made_call(1)])
    await server.start()
    await all_recorded(bus)
    stop.set()
    await task
    store = Store(server.dsn)
    await assert_recorded(store, [made_call(1)])
    await store.close()
    await server.stop()


async def test_stopping_while_postgres_is_away_ends_at_once(postgres: EmbeddedPostgres) -> None:
    """What is in hand stays pending in the log, for the next start."""
    bus = MemoryBus()
    await register(bus)
    async with open_store(postgres.dsn) as store:
        await postgres.stop()
        await publish(bus, [made_call(1)])
        async with asyncio.timeout(10):
            async with consuming(bus, store) as consumer:
                await wait_until(lambda: bool(bus.data.registered) and consumer.stored == 0)
        await postgres.start()
        async with consuming(bus, store):
            await all_recorded(bus)
        await assert_recorded(store, [made_call(1)])


async def test_both_servers_are_restarted_under_load(postgres: EmbeddedPostgres, valkey: EmbeddedValkey) -> None:
    """A thousand calls while the log and the database are killed and started again: both lanes are the very bytes."""
    calls = [made_call(i, chunks=5) if i % 4 else relayed_call(i) for i in range(1000)]
    bus = connect(valkey.url)
    await register(bus)
    stop = asyncio.Event()
    instance = Instance(1, "", "", valkey.url, postgres.dsn)
    role = asyncio.create_task(serve(Config(), instance, data=Path(), stop=stop))
    writer = asyncio.create_task(_publish_stubbornly(bus, calls))
    async with open_store(postgres.dsn) as store:
        await _stored(store, 100)
        await valkey.stop()
        await valkey.start()
        await _stored(store, 300)
        postgres.kill()
        await postgres.start()
        await _stored(store, 600)
        valkey.kill()
        await valkey.start()
        await writer
        await _recorded(bus)
        await assert_recorded(store, calls)
    stop.set()
    await role
    await bus.close()


async def _publish_stubbornly(bus: Bus, calls: list[MadeCall]) -> None:
    """Repeat what was not confirmed, as an outbox does: some calls are written twice."""
    for call in calls:
        while True:
            try:
                await publish(bus, [call])
                break
            except BusError:
                await asyncio.sleep(0.05)


async def _stored(store: Store, calls: int) -> None:
    async def enough() -> bool:
        async with store.transaction() as connection:
            rows = await connection.fetch("SELECT count(*) AS calls FROM calls")
        return int(rows[0]["calls"]) >= calls

    await wait_until(enough, timeout=60)


async def _recorded(bus: Bus) -> None:
    while True:
        try:
            return await all_recorded(bus)
        except BusError:
            await asyncio.sleep(0.05)
