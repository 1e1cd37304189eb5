"""The record by days: an older record is brought over without loss, and rows find their day."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256

import msgspec
import pytest

from luthien_stream.activity.fold import Delivery, fold
from luthien_stream.activity.migrate import migrate
from luthien_stream.activity.read import list_calls, record_of
from luthien_stream.activity.sql import QUERIES, migrations
from luthien_stream.activity.store import Store
from luthien_stream.embedded.postgres import EmbeddedPostgres
from luthien_stream.events.log import StageChanged
from luthien_stream.events.pack import Pack
from tests.integration.activity_rig import assert_recorded
from tests.recorded import MadeCall, made_call, relayed_call


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    made = EmbeddedPostgres(tmp_path_factory.mktemp("days"))
    asyncio.run(made.start())
    yield made
    asyncio.run(made.stop())


@pytest.fixture
async def store(server: EmbeddedPostgres) -> AsyncIterator[Store]:
    """A store on a database without any table."""
    made = Store(server.dsn)
    async with made.transaction() as connection:
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    yield made
    await made.close()


def deliveries(calls: list[MadeCall]) -> list[Delivery]:
    """All packs as entries of one stream."""
    packs = [pack for call in calls for pack in call.packs]
    return [
        Delivery("s", f"{1_790_000_000_000 + i}-0", Pack(src, list(events))) for i, (src, events) in enumerate(packs)
    ]


async def test_an_older_record_is_brought_over_without_loss(store: Store) -> None:
    """Calls, both lanes, events, bodies: what was there before is read as before."""
    calls = [made_call(1), relayed_call(2), made_call(3, session="s2")]
    rows = fold(deliveries(calls))
    async with store.transaction() as connection:
        await connection.execute(QUERIES["create_migrations"])
        for migration in migrations()[:3]:
            await connection.execute(migration.sql)
            await connection.execute(QUERIES["record_migration"], migration.number, migration.name)
        old = [(*msgspec.structs.astuple(row)[:15],) for row in rows.calls]
        marks = ", ".join(f"${i}" for i in range(1, 16))
        for row in old:
            await connection.execute(f"INSERT INTO calls VALUES ({marks})", *row)
        for event in rows.events:
            values = msgspec.structs.astuple(event)[:9]
            await connection.execute("INSERT INTO events VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)", *values)
        for run in rows.runs:
            values = msgspec.structs.astuple(run)[:9]
            await connection.execute("INSERT INTO runs VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)", *values)
        for ref, body in rows.bodies.items():
            await connection.execute("INSERT INTO bodies VALUES ($1, $2)", ref, body)
    assert await migrate(store) == [migration.name for migration in migrations()[3:]]
    await assert_recorded(store, calls)
    assert {call.session for call in await list_calls(store)} == {"s1", "s2", ""}
    record = await record_of(store, calls[0].call_id)
    assert list(record.bodies.values()) == [b'{"n":1}']
    assert {sha256(body).hexdigest() for body in record.bodies.values()} == set(record.bodies)


async def test_rows_lie_in_the_partition_of_their_day(store: Store) -> None:
    """That of tomorrow is made beforehand; what has no day lies beside."""
    await migrate(store)
    changed = StageChanged(call="", stage="main@1", partition=-1, why="in_force", written=[{"use": "noop"}])
    await store.write(
        fold([*deliveries([made_call(1)]), Delivery("s", "1790000000999-0", Pack("record:e1", [changed]))])
    )
    async with store.transaction() as connection:
        found = await connection.fetch("SELECT tableoid::regclass::text AS name, count(*) FROM events GROUP BY 1")
        days = [str(row["day"]) for row in await connection.fetch(QUERIES["days"])]
    names = {row["name"] for row in found}
    assert len(days) == 2
    assert names == {f"events_{days[0].replace('-', '')}", "events_other"}
    (row,) = await store.fetch("pipelines", ["main@1"])
    assert msgspec.json.decode(row["written"]) == [{"use": "noop"}]
