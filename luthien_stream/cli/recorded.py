"""How commands reach the record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from luthien_stream.activity.store import Store
from luthien_stream.config.instance import Instance
from luthien_stream.errors import ConfigError


class NoRecord(ConfigError):
    """This gateway keeps no record (`database: none`); `luthien-stream tail` shows what the log still has."""


@asynccontextmanager
async def open_record(instance: Instance) -> AsyncIterator[Store]:
    """Open the instance's record. Raises `NoRecord` if it keeps none."""
    if instance.database == "none":
        raise NoRecord
    store = Store(instance.database)
    try:
        yield store
    finally:
        await store.close()
