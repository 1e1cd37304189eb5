"""Brings the schema to this release: all missing migrations in one transaction, one process at a time."""

from __future__ import annotations

import structlog

from luthien_stream.activity.sql import QUERIES, migrations
from luthien_stream.activity.store import Store

log = structlog.get_logger()


async def migrate(store: Store) -> list[str]:
    """Apply what is missing and return its names. Raises `StoreUnavailable`, `StoreRefused`."""
    applied = []
    async with store.transaction() as connection:
        await connection.execute(QUERIES["lock_migrations"])
        await connection.execute(QUERIES["create_migrations"])
        known = {row["number"] for row in await connection.fetch(QUERIES["applied_migrations"])}
        for migration in migrations():
            if migration.number not in known:
                await connection.execute(migration.sql)
                await connection.execute(QUERIES["record_migration"], migration.number, migration.name)
                applied.append(migration.name)
    for name in applied:
        log.info("migration_applied", migration=name)
    return applied
