"""The record's way to PostgreSQL: connection, deadlines, typed errors, and the writing of one batch.

The only file that knows asyncpg. A batch is one transaction: chunks by COPY, the rest by one statement a table.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import date
from typing import Any, cast

import asyncpg
import msgspec

from luthien_stream.activity.bodies import read_bodies, write_bodies
from luthien_stream.activity.connection import Connection
from luthien_stream.activity.copy import copy_of_runs
from luthien_stream.activity.days import DAY, days_of
from luthien_stream.activity.rows import CallRow, EventRow, PipelineRow, Rows, RunRow
from luthien_stream.activity.sql import QUERIES
from luthien_stream.errors import LuthienError

TIMEOUT_S = 30.0
"""Deadline of one statement."""
CONNECT_TIMEOUT_S = 5.0
_REFUSALS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    ValueError,
    OverflowError,
)
_OUTAGES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


class StoreError(LuthienError):
    """The record (PostgreSQL) failed."""


class StoreUnavailable(StoreError):
    """The record (PostgreSQL) cannot be used now: nothing is lost, try again. Check `database:` and the server."""


class StoreRefused(StoreError):
    """PostgreSQL cannot store these rows: a value is out of its column's range."""


class Store:
    """One database over one connection: opened when it is first used, and again after an outage."""

    def __init__(self, dsn: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._dsn = dsn
        self._timeout_s = timeout_s
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._lock = asyncio.Lock()
        self._days: set[date] = set()
        """Whose partitions are known to be there."""

    async def close(self) -> None:
        """Give up the connection; the next use opens another."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction. Raises `StoreUnavailable` and `StoreRefused`."""
        async with self._begin() as connection:
            yield cast(Connection, connection)

    async def fetch(self, query: str, *args: Any) -> Sequence[Mapping[str, Any]]:
        """Return the rows of the named query."""
        async with self.transaction() as connection:
            return await connection.fetch(QUERIES[query], *args)

    async def select(self, query: str, *args: Any) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a statement made here: its values are in `args`, its conditions of `where`."""
        async with self.transaction() as connection:
            return await connection.fetch(query, *args)

    async def write(self, rows: Rows) -> None:
        """Write one batch, whole or not at all. Raises `StoreUnavailable`, `StoreRefused`."""
        await self._make_days(days_of(rows))
        async with self._begin() as connection:
            await _copy_runs(connection, rows.runs)
            await _insert(connection, "insert_calls", rows.calls, CallRow)
            await _insert(connection, "insert_events", rows.events, EventRow)
            await _insert(connection, "insert_pipelines", rows.pipelines, PipelineRow)
            await write_bodies(connection, rows.bodies)

    async def bodies(self, refs: Collection[str]) -> dict[str, bytes]:
        """Return those of these request bodies that are stored, by their SHA-256 (hex)."""
        if not refs:
            return {}
        async with self.transaction() as connection:
            return await read_bodies(connection, refs)

    async def write_body(self, ref: str, body: bytes) -> None:
        """Write one request body under its SHA-256, once."""
        await self.write(Rows(bodies={ref: body}))

    async def missing_bodies(self, refs: Collection[str]) -> list[str]:
        """Return those of `refs` that are not stored yet, sorted."""
        known = {row["ref"] for row in await self.fetch("known_bodies", list(refs))}
        return sorted(set(refs) - known)

    def forget_days(self) -> None:
        """Days were dropped: look again before rows of one are written."""
        self._days.clear()

    async def _make_days(self, wanted: Collection[date]) -> None:
        """Make partitions in a transaction of their own, those of tomorrow too: they lock whole tables."""
        latest = max(self._days, default=date.min)
        new = {day for day in wanted if day != latest}  # another recorder may drop older ones
        if not new:
            return
        async with self.transaction() as connection:
            await connection.execute(QUERIES["lock_days"])
            known = {row["day"] for row in await connection.fetch(QUERIES["days"])}
            for day in sorted((new | {max(new) + DAY}) - known):
                await connection.execute(QUERIES["make_day"], day)
        self._days |= new

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[Any]:
        async with self._lock:
            with _typed():
                connection = await self._connected()
                try:
                    async with connection.transaction():
                        yield connection
                except _REFUSALS:
                    raise
                except BaseException:
                    # Cut off in the middle of a COPY, a connection is of no more use, and the driver does not notice.
                    await self.close()
                    raise

    async def _connected(self) -> Any:
        if self._connection is None or self._connection.is_closed():
            try:
                self._connection = await asyncpg.connect(
                    self._dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=self._timeout_s
                )
            except ValueError:  # not shown: it may quote the URL, with the password
                raise StoreUnavailable(
                    "`database:` is no PostgreSQL URL: write postgresql://user:password@host/name"
                ) from None
        return self._connection


async def _copy_runs(connection: Any, runs: Sequence[RunRow]) -> None:
    if runs:
        source = memoryview(copy_of_runs(runs))  # of a file the driver makes a cycle, which keeps it until the next gc
        await connection.copy_to_table("runs", source=source, columns=RunRow.__struct_fields__, format="binary")


async def _insert(connection: Any, query: str, rows: Sequence[msgspec.Struct], table: type[msgspec.Struct]) -> None:
    if rows:
        columns: Iterable[tuple[Any, ...]] = zip(*map(msgspec.structs.astuple, rows), strict=True)
        await connection.execute(QUERIES[query], *map(list, columns))


@contextmanager
def _typed() -> Iterator[None]:
    """What is wrong with the rows will be wrong again; all else may pass."""
    try:
        yield
    except _REFUSALS as error:
        raise StoreRefused(f"PostgreSQL cannot store these rows: {error}") from error
    except _OUTAGES as error:
        raise StoreUnavailable(
            f"The record (PostgreSQL) cannot be used now ({type(error).__name__}: {error}). "
            "Check `database:` in the configuration and the server"
        ) from error
