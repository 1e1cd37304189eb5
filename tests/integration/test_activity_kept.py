"""What is kept and what is not: days past their retention, what is to be forgotten, and what was said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from luthien_stream.activity.days import day_of
from luthien_stream.activity.find import Selection, find_calls
from luthien_stream.activity.forgetting import Retention, about, calls_of, forget
from luthien_stream.activity.heads import HeadsFile
from luthien_stream.activity.importing import write_records
from luthien_stream.activity.indexing import Indexing
from luthien_stream.activity.labels import list_labels, put_label
from luthien_stream.activity.read import list_calls, record_of, summaries_of
from luthien_stream.activity.search import list_sessions, search
from luthien_stream.activity.store import Store
from luthien_stream.embedded.postgres import EmbeddedPostgres
from luthien_stream.record.filter import BadFilter, parse
from luthien_stream.record.lanes import Record
from luthien_stream.record.transcripts import records_of
from tests.integration.activity_rig import database, open_store

TALK = [
    {"role": "system", "content": "Help."},
    {"role": "user", "content": "Where is the zeppelin?"},
    {"role": "assistant", "content": "In the hangar."},
    {"role": "user", "content": "Which hangar?"},
    {"role": "assistant", "content": "The green one, beside the lake."},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        folder: Path = tmp_path_factory.mktemp("kept")
        yield runner.run(stack.enter_async_context(database(folder)))
        runner.run(stack.aclose())


@pytest.fixture
async def store(server: EmbeddedPostgres) -> AsyncIterator[Store]:
    """A record with two sessions of two calls each, a day apart."""
    async with open_store(server.dsn) as made:
        index = Indexing(made, asyncio.Event())
        for record in sessions():
            assert await write_records(made, [record])
            await index.index(record)
        yield made


def sessions() -> list[Record]:
    """Two conversations with the same words."""
    return [
        record for number in (0, 30) for record in records_of({"messages": TALK, "model": "gpt-4o"}, number, "talk")
    ]


async def left(store: Store, table: str) -> int:
    """Rows of a table."""
    (row,) = await store.select(f"SELECT count(*) AS rows FROM {table}")
    return int(row["rows"])


async def test_what_is_written_is_read_and_written_once(store: Store) -> None:
    """With requests, by their pieces."""
    for record in sessions():
        assert not await write_records(store, [record])
        found = await record_of(store, record.call_id)
        assert (found.bodies, found.chunks) == (record.bodies, record.chunks)


async def test_what_was_said_is_found(store: Store) -> None:
    """Once in a session, however often it is sent again; by words, phrases, pieces, and who said it."""
    everything = Selection()
    assert len(await search(store, "zeppelin", everything)) == 2
    assert [hit["role"] for hit in await search(store, '"green one" -hangar', everything)] == ["model", "model"]
    assert len(await search(store, "ZEPP", everything, exact=True)) == 2
    assert await search(store, "zeppelin", everything, role="model") == []
    first = sessions()[0].call_id
    assert [hit["call_id"] for hit in await search(store, "zeppelin", Selection(query=parse(first)))] == [first]


async def test_sessions_have_tokens_and_cost(store: Store) -> None:
    """An estimate where the provider counted nothing."""
    found = await list_sessions(store)
    assert [(row["calls"], row["estimated"]) for row in found] == [(2, True), (2, True)]
    assert all(row["cost"] > 0 and row["output"] > 0 for row in found)


async def test_a_session_is_forgotten_with_what_only_it_said(store: Store, tmp_path: Path) -> None:
    """What another one says too stays."""
    session = (await list_sessions(store))[0]["session"]
    await put_label(store, await find_calls(store, Selection(session=session)), "attack")
    assert {call.label for call in await list_calls(store, session=session)} == {"attack"}
    pieces = await left(store, "pieces")
    calls = await calls_of(store, session=session)
    await forget(store, calls, HeadsFile(tmp_path / "heads"), by="me")
    assert len(calls) == 2
    assert [await left(store, table) for table in ("calls", "said", "outcomes", "bodies")] == [2, 4, 2, 2]
    assert await list_labels(store) == []
    assert await left(store, "pieces") == pieces  # both sessions said the same
    for record in sessions()[:2]:
        assert (await record_of(store, record.call_id)).bodies == record.bodies
    await forget(store, [record.call_id for record in sessions()], HeadsFile(tmp_path / "heads"), by="me")
    assert [await left(store, table) for table in ("calls", "events", "bodies", "chains", "pieces")] == [0] * 5


async def test_a_day_is_dropped_with_what_only_it_said(store: Store, tmp_path: Path) -> None:
    """And said so in the daily file; a later write makes its partition again."""
    first, *_, last = sessions()
    day, later = day_of(first.call_id), day_of(last.call_id)
    assert day is not None
    assert later is not None
    assert day < later
    async with store.transaction() as connection:
        await connection.execute("UPDATE calls SET edge = 'e1' WHERE session = 'talk-0'")
    retention = Retention(store, HeadsFile(tmp_path / "heads"), 1, asyncio.Event())
    assert await retention.look(day + timedelta(days=1)) == []
    dropped = await retention.look(later + timedelta(days=1))
    assert day in dropped
    assert later not in dropped
    assert await left(store, "calls") == 2
    assert await left(store, "bodies") == 2
    assert '"note":"dropped"' in next((tmp_path / "heads").glob("*.jsonl")).read_text()
    assert await write_records(store, [replace(first)])
    assert await left(store, "calls") == 3


async def test_imported_calls_of_an_old_day_stay(store: Store, tmp_path: Path) -> None:
    """Their time is not when they came; whatever else the day has goes."""
    first, second, *_ = sessions()
    day = day_of(first.call_id)
    assert day is not None
    async with store.transaction() as connection:
        await connection.execute("UPDATE calls SET edge = 'e1' WHERE call_id = $1", second.call_id)
    retention = Retention(store, HeadsFile(tmp_path / "heads"), 1, asyncio.Event())
    assert day in await retention.look(day + timedelta(days=9))
    assert (await record_of(store, first.call_id)).bodies == first.bodies
    assert (await record_of(store, second.call_id)).events == []


async def test_what_policies_asked_for_is_forgotten_with_the_call(store: Store) -> None:
    """A judge's call, and one that was made for that."""
    parent, child, grandchild, other = (record.call_id for record in sessions())
    async with store.transaction() as connection:
        for call, made_for in ((child, parent), (grandchild, child)):
            await connection.execute("UPDATE calls SET parent = $2, session = '' WHERE call_id = $1", call, made_for)
    assert await calls_of(store, call=parent) == sorted([parent, child, grandchild])
    said = await about(store, [parent, child, grandchild])
    assert (said["calls"], said["children"], said["sessions"]) == (3, 2, 1)
    assert await calls_of(store, call=other) == [other]


async def test_a_day_that_another_recorder_dropped_is_made_again(store: Store, server: EmbeddedPostgres) -> None:
    """Or its rows would lie where no day can be made any more."""
    first, *_, last = sessions()
    day = day_of(first.call_id)
    assert day_of(last.call_id) != day
    async with store.transaction() as connection:
        await connection.execute("UPDATE calls SET edge = 'e1'")
        await connection.execute("SELECT drop_day($1)", day)
    assert await write_records(store, [first])
    (row,) = await store.select("SELECT count(*) AS rows FROM calls_other")
    assert row["rows"] == 0


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("~m gpt-*", 4),
        ("!~m gpt-*", 0),
        ("~s talk-0 | ~s talk-30", 4),
        ("~s talk-0 ~o completed", 2),
        ("~o failed", 0),
        ("~l attack", 0),
        ("~b zeppelin", 2),
        ("(~b zeppelin | ~b lake) & ~s 'talk-0'", 2),
        ("~p shell_guard ~v deny", 0),
        ("~f openai_*", 4),
    ],
)
async def test_filters_of_stored_calls(store: Store, text: str, count: int) -> None:
    """The same language as in a live reading."""
    found = await find_calls(store, Selection(query=parse(text)))
    assert len(found) == count
    assert [one.call_id for one in await summaries_of(store, found)] == found[::-1]


@pytest.mark.parametrize("text", ["~", "~zz x", "~m", "(~m x", "~m x)", "|", "! "])
def test_what_is_no_filter_is_said(text: str) -> None:
    """With the column."""
    with pytest.raises(BadFilter, match="column"):
        parse(text)


@pytest.mark.parametrize("number", range(1, 11))
async def test_the_queries_of_the_documentation_run(store: Store, number: int) -> None:
    """All ten, on a filled record."""
    text = (Path(__file__).parents[2] / "docs" / "schema.md").read_text("utf-8")
    queries = [part.split("```")[0] for part in text.split("```sql\n")[1:] if part.startswith("-- ")]
    query = next(one for one in queries if one.startswith(f"-- {number}. "))
    rows = await store.select(query.replace("…", sessions()[0].call_id))
    assert bool(rows) == (number in (5, 6))


async def test_the_filters_of_the_documentation_run(store: Store) -> None:
    """Every example."""
    text = (Path(__file__).parents[2] / "docs" / "filters.md").read_text("utf-8")
    examples = text.split("```\n")[1].strip().splitlines()
    assert len(examples) == 6
    for example in examples:
        await find_calls(store, Selection(query=parse(example)))
