"""Taking away what is not to be kept: days past their retention, and what somebody wants forgotten.

What only those calls named goes with them: bodies, and the pieces that no other body has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import structlog

from luthien_stream.activity.heads import HeadsFile
from luthien_stream.activity.sql import QUERIES
from luthien_stream.activity.store import Store, StoreError
from luthien_stream.activity.waiting import wait_for_stop
from luthien_stream.errors import ConfigError

log = structlog.get_logger()

EVERY_S = 3600.0
SWEEP_TIMEOUT_S = 600.0
_TABLES = tuple(f"forget_{name}" for name in ("calls", "said", "outcomes", "runs", "events", "seals", "labels"))
"""Calls first: who indexes one holds its row meanwhile, and what it wrote is there to be deleted."""
_SWEEPS = ("sweep_labels", "sweep_bodies", "sweep_chains", "sweep_pieces")


async def calls_of(store: Store, *, session: str = "", user: str = "", call: str = "") -> list[str]:
    """The calls that would be forgotten, those that policies made for them too."""
    return sorted(row["call_id"] for row in await store.fetch("calls_to_forget", session, user, call))


async def about(store: Store, calls: Sequence[str]) -> Mapping[str, Any]:
    """What would go: calls, children, sessions, users, and the times of the first and the last (microseconds)."""
    return (await store.fetch("about_calls", list(calls)))[0]


async def forget(store: Store, calls: Sequence[str], heads: HeadsFile, *, by: str) -> dict[str, int]:
    """Delete calls and what only they named; return how many rows went, by table. Raises `StoreError`, `OSError`."""
    gone: dict[str, int] = {}
    async with store.transaction() as connection:
        for name in _TABLES:
            gone[name.removeprefix("forget_")] = _count(await connection.execute(QUERIES[name], list(calls)))
    gone |= await sweep(store)
    await asyncio.to_thread(heads.note, "forgotten", calls=list(calls), by=by)
    log.info("record_forgotten", calls=len(calls), by=by)
    return gone


async def sweep(store: Store) -> dict[str, int]:
    """Delete what nothing names any more. No body is written meanwhile."""
    gone: dict[str, int] = {}
    async with store.transaction() as connection:
        await connection.execute(QUERIES["sweep_alone"])
        for name in _SWEEPS:
            gone[name.removeprefix("sweep_")] = _count(await connection.execute(QUERIES[name]))
    return gone


class Retention:
    """Drops days that are past their time; `days` 0 keeps all. Run `run` as a task."""

    def __init__(self, store: Store, heads: HeadsFile, days: int, stop: asyncio.Event) -> None:
        self._store, self._heads, self._days, self._stop = store, heads, days, stop

    async def run(self) -> None:
        """Look once an hour until stopped."""
        while self._days and not self._stop.is_set():
            try:
                await self.look(datetime.now(UTC).date())
            except (StoreError, OSError, ConfigError) as error:
                log.warning("days_not_dropped", error=type(error).__name__, why=str(error)[:200])
            await wait_for_stop(self._stop, EVERY_S)

    async def look(self, today: date) -> list[date]:
        """Drop what is too old; return the days. Imported calls of such a day stay. Raises `StoreError`, `OSError`."""
        known: list[date] = [row["day"] for row in await self._store.fetch("days")]
        due = [day for day in known if day < today - timedelta(days=self._days)]
        for day in due:
            async with self._store.transaction() as connection:
                await connection.execute(QUERIES["lock_days"])
                await connection.execute(QUERIES["drop_day"], day)
            await asyncio.to_thread(self._heads.note, "dropped", day=str(day))
            log.info("day_dropped", day=str(day))
        if due:
            self._store.forget_days()
            log.info("pieces_swept", **await sweep(self._store))
        return due


def _count(tag: str) -> int:
    """How many rows a statement's tag (`DELETE 3`) speaks of."""
    return int(tag.rpartition(" ")[2] or 0)
