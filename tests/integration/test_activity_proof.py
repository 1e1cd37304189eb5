"""Seals: whatever is changed in the record is named, whatever is legitimately gone is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from luthien_stream.activity.heads import HeadsFile
from luthien_stream.activity.proving import Proof, heads_in, prove
from luthien_stream.activity.sealing import Sealing
from luthien_stream.activity.store import Store
from luthien_stream.bus.memory import MemoryBus
from luthien_stream.embedded.postgres import EmbeddedPostgres
from tests.integration.activity_rig import all_recorded, consuming, database, open_store, publish, register
from tests.recorded import call_id, made_call


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        folder: Path = tmp_path_factory.mktemp("proof")
        yield runner.run(stack.enter_async_context(database(folder)))
        runner.run(stack.aclose())


@pytest.fixture
async def store(server: EmbeddedPostgres, tmp_path: Path) -> AsyncIterator[Store]:
    """A record of three sealed calls, with their heads in `tmp_path / "heads"`."""
    async with open_store(server.dsn) as made:
        bus, sealing = MemoryBus(), Sealing(made, HeadsFile(tmp_path / "heads"), asyncio.Event())
        await register(bus)
        await publish(bus, [made_call(number) for number in range(3)])
        async with consuming(bus, made) as consumer:
            consumer.told = sealing.touch
            await all_recorded(bus)
        sealing.touch([call_id(number) for number in range(3)])
        assert await sealing.look(quiet_s=0) == 3
        yield made


async def change(store: Store, statement: str) -> None:
    """Change the record behind everybody's back."""
    async with store.transaction() as connection:
        await connection.execute(statement)


async def found(store: Store, folder: Path) -> Proof:
    """What is found of the first call; the others hold."""
    first, *others = await prove(store, [call_id(number) for number in range(3)], heads_in(folder / "heads"))
    assert [other.wrong for other in others] == [[], []]
    return first


async def test_what_nobody_touched_holds(store: Store, tmp_path: Path) -> None:
    """All rows are sealed, all heads are in the file."""
    first = await found(store, tmp_path)
    assert (first.wrong, first.sealed, first.filed) == ([], True, True)
    assert first.rows > 5


ONE = f"call_id = '{call_id(0)}'"
TAMPERING = {
    "a byte of a frame": (
        f"UPDATE runs SET frames = set_byte(frames, 3, 88) WHERE {ONE} AND src LIKE 'edge:%'",
        "the chunks of edge:e1 from ordinal 2 on was changed",
    ),
    "a time": (f"UPDATE runs SET times[1] = times[1] + 1 WHERE {ONE} AND src LIKE 'stage:%'", "was changed"),
    "an event": (
        f"UPDATE events SET raw = set_byte(raw, 40, 88) WHERE {ONE} AND type = 'verdict.reached'",
        "the event 8 of stage:main@ab12cd34 was changed",
    ),
    "the JSON form": (
        f"""UPDATE events SET payload = payload || '{{"policy":"other"}}' WHERE {ONE} AND type = 'verdict.reached'""",
        "the JSON form of the event 8 of stage:main@ab12cd34 was changed",
    ),
    "a missing row": (
        f"DELETE FROM events WHERE {ONE} AND type = 'verdict.reached'",
        "the event 8 of stage:main@ab12cd34 is missing",
    ),
    "missing chunks": (f"DELETE FROM runs WHERE {ONE} AND src LIKE 'stage:%'", "from ordinal 2 on is missing"),
    "the model": (f"UPDATE calls SET model = 'other' WHERE {ONE}", "its row in `calls` was changed: model"),
    "a seal": (f"UPDATE seals SET head = set_byte(head, 0, get_byte(head, 0) # 1) WHERE {ONE}", "its seal was changed"),
    "a missing seal": (f"DELETE FROM seals WHERE {ONE}", "its seal is missing"),
}


@pytest.mark.parametrize("what", TAMPERING)
async def test_what_was_changed_is_named(store: Store, tmp_path: Path, what: str) -> None:
    """Each in SQL, as somebody would who may write to the database."""
    statement, wrong = TAMPERING[what]
    await change(store, statement)
    assert wrong in "; ".join((await found(store, tmp_path)).wrong)


async def test_a_swapped_pair_is_named(store: Store, tmp_path: Path) -> None:
    """Two rows that have changed places."""
    await change(store, f"UPDATE events SET n = 80 WHERE {ONE} AND n = 8 AND src LIKE 'stage:%'")
    await change(store, f"UPDATE events SET n = 8 WHERE {ONE} AND n = 9 AND src LIKE 'stage:%'")
    await change(store, f"UPDATE events SET n = 9 WHERE {ONE} AND n = 80 AND src LIKE 'stage:%'")
    wrong = (await found(store, tmp_path)).wrong
    assert wrong[0] == "the event 8 of stage:main@ab12cd34 and the event 9 of stage:main@ab12cd34 are swapped"


async def test_a_whole_call_that_is_gone_is_named(store: Store, tmp_path: Path) -> None:
    """The file knows of it; unless it was forgotten on purpose."""
    for table in ("calls", "events", "runs", "seals"):
        await change(store, f"DELETE FROM {table} WHERE {ONE}")
    assert (await found(store, tmp_path)).wrong == ["the whole call is missing"]
    HeadsFile(tmp_path / "heads").note("forgotten", calls=[call_id(0)])
    assert (await found(store, tmp_path)).wrong == []


async def test_a_line_of_the_file_that_is_gone_is_named(store: Store, tmp_path: Path) -> None:
    """Each line has the digest of the one before."""
    (file,) = (tmp_path / "heads").glob("*.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    assert heads_in(tmp_path / "heads").broken == []
    file.write_bytes(b"".join([lines[0], lines[2]]))
    assert heads_in(tmp_path / "heads").broken == [
        f"{file.name}:2: the line before it was changed, or is missing",
    ]


async def test_rows_that_come_later_are_sealed_again(store: Store, tmp_path: Path) -> None:
    """The last line of a call counts."""
    await change(store, f"UPDATE events SET n = n WHERE {ONE}")
    await change(
        store,
        "INSERT INTO events (call_id, src, n, key, type, time, entry, payload, raw, digest) "
        f"SELECT call_id, src, 77, key, type, time, entry, payload, raw, digest FROM events WHERE {ONE} AND n = 8",
    )
    assert "was not there when the call was sealed" in "; ".join((await found(store, tmp_path)).wrong)
    sealing = Sealing(store, HeadsFile(tmp_path / "heads"), asyncio.Event())
    sealing.touch([call_id(0)])
    await sealing.look(quiet_s=0)
    assert (await found(store, tmp_path)).wrong[0].endswith("was changed")  # its digest is of another place
