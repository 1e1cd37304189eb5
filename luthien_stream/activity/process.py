"""The activity role: brings the schema up to date, then consumes and looks for dead edges until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path

import structlog

from luthien_stream.activity.consumer import BACKOFF_S, Consumer
from luthien_stream.activity.forgetting import Retention
from luthien_stream.activity.gone import GoneEdges
from luthien_stream.activity.heads import FOLDER, HeadsFile
from luthien_stream.activity.indexing import Indexing
from luthien_stream.activity.migrate import migrate
from luthien_stream.activity.sealing import Sealing
from luthien_stream.activity.store import Store, StoreError
from luthien_stream.activity.waiting import wait_for_stop
from luthien_stream.bus import connect
from luthien_stream.bus.port import Bus
from luthien_stream.config.instance import Instance
from luthien_stream.config.model import Config

log = structlog.get_logger()

GC_THRESHOLD = (50_000, 20, 50)
"""For a process of its own: a batch is many small objects and no cycle; looking for some costs a fifth of the work."""


async def serve(
    config: Config,
    instance: Instance,
    *,
    data: Path,
    bus: Bus | None = None,
    ready: Callable[[], None] | None = None,
    stop: asyncio.Event,
) -> None:
    """Record until `stop` is set; what is in hand then is stored first. `ready` is called after the first attempt."""
    if instance.database == "none":
        log.info("record_off", why="database: none")
        if ready:
            ready()
        await stop.wait()
        return
    store = Store(instance.database)
    try:
        if bus is not None:
            await _serve(config, bus, store, data, ready, stop)
            return
        gc.set_threshold(*GC_THRESHOLD)
        bus = connect(instance.redis)
        try:
            await _serve(config, bus, store, data, ready, stop)
        finally:
            await bus.close()
    finally:
        await store.close()


async def _serve(
    config: Config, bus: Bus, store: Store, data: Path, ready: Callable[[], None] | None, stop: asyncio.Event
) -> None:
    """Get ready even without PostgreSQL: its outage must not hold up the gateway, the log keeps what happens."""
    pause, longest = BACKOFF_S
    migrated = False
    while not migrated and not stop.is_set():
        try:
            await migrate(store)
            migrated = True
        except StoreError as error:
            log.warning("record_away", error=str(error), again_in_s=pause)
        if ready:
            ready()
            ready = None
        if not migrated:
            await wait_for_stop(stop, pause)
            pause = min(pause * 2, longest)
    heads = HeadsFile(data / FOLDER)
    sealing, retention = Sealing(store, heads, stop), Retention(store, heads, config.retention_days, stop)
    consumer = Consumer(bus, store, stop, sealing.touch)
    indexing = Indexing(store, stop, lambda: consumer.busy)
    gone = GoneEdges(bus, store, stop)
    await asyncio.gather(consumer.run(), gone.run(), sealing.run(), retention.run(), indexing.run())
    log.info("activity_stopped", stored=consumer.stored)
