"""A record to test with: a real PostgreSQL, a bus, and consumers that can be started, stopped and killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from luthien_stream.activity.consumer import Consumer
from luthien_stream.activity.migrate import migrate
from luthien_stream.activity.read import record_of
from luthien_stream.activity.store import Store
from luthien_stream.bus.port import Bus
from luthien_stream.embedded.postgres import EmbeddedPostgres
from luthien_stream.record.lanes import final_lane, original_lane
from tests.recorded import EDGE, MadeCall
from tests.wait import wait_until

PARTITION = "ls:{main@ab12cd34:0}:in"
INBOX = "ls:{e1}:inbox"
TABLES = ("runs", "events", "calls", "bodies", "chains", "pieces", "pipelines", "labels", "seals", "said", "outcomes")


@asynccontextmanager
async def database(folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A running server with the schema."""
    server = EmbeddedPostgres(folder)
    await server.start()
    try:
        store = Store(server.dsn)
        await migrate(store)
        await store.close()
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def open_store(dsn: str) -> AsyncIterator[Store]:
    """A store on empty tables."""
    store = Store(dsn)
    try:
        async with store.transaction() as connection:
            await connection.execute(f"TRUNCATE {', '.join(TABLES)}")
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def consuming(bus: Bus, store: Store) -> AsyncIterator[Consumer]:
    """A consumer that runs; it is stopped in good order at the end."""
    stop = asyncio.Event()
    consumer = Consumer(bus, store, stop)
    task = asyncio.create_task(consumer.run())
    try:
        yield consumer
    finally:
        stop.set()
        await task


async def register(bus: Bus) -> None:
    """Make the streams known, as stage and edge do."""
    for stream in (PARTITION, INBOX):
        await bus.register_stream(stream, recorded=True)


async def publish(bus: Bus, calls: Iterable[MadeCall]) -> None:
    """Write all calls as edges and stages do: the edge's own to the partition, the rest to the inbox."""
    for call in calls:
        for (src, _), raw in zip(call.packs, call.encoded(), strict=True):
            await bus.append(PARTITION if src == EDGE else INBOX, raw)


async def all_recorded(bus: Bus) -> None:
    """Return when the group is behind on no stream."""

    async def done() -> bool:
        lags = [await bus.lag(stream) for stream in await bus.streams()]
        return all(lag.entries == 0 and lag.pending == 0 for lag in lags)

    await wait_until(done, timeout=30)


async def assert_recorded(store: Store, calls: Iterable[MadeCall]) -> None:
    """Both lanes of all calls are complete and the very bytes."""
    for call in calls:
        record = await record_of(store, call.call_id)
        original, final = original_lane(record), final_lane(record)
        assert (original.complete, original.raw) == (True, call.original)
        assert (final.complete, final.raw) == (True, call.final)
