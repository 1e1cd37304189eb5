"""The record on a real PostgreSQL, fed from the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from hashlib import sha256
from pathlib import Path

import pytest

from luthien_stream.activity.migrate import migrate
from luthien_stream.activity.process import serve
from luthien_stream.activity.read import (
    CallAmbiguous,
    CallUnknown,
    body_of,
    find_call,
    list_calls,
    record_of,
    summary_of,
)
from luthien_stream.activity.sql import migrations
from luthien_stream.activity.store import Store, StoreRefused, StoreUnavailable
from luthien_stream.bus.memory import MemoryBus
from luthien_stream.config.instance import Instance
from luthien_stream.config.model import Config
from luthien_stream.embedded.postgres import EmbeddedPostgres
from luthien_stream.events.log import ChunkReceived, RequestReceived, ResponseCompleted, Slip, VerdictReached
from luthien_stream.events.pack import decode_event, encode
from luthien_stream.record.lanes import final_lane, provider_lane
from tests.integration.activity_rig import (
    INBOX,
    PARTITION,
    all_recorded,
    assert_recorded,
    consuming,
    database,
    open_store,
    publish,
    register,
)
from tests.recorded import EDGE, START, made_call, relayed_call, staged_call
from tests.wait import wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """One PostgreSQL for all tests of this file; each test has empty tables."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        folder: Path = tmp_path_factory.mktemp("postgres")
        yield runner.run(stack.enter_async_context(database(folder)))
        runner.run(stack.aclose())


@pytest.fixture
async def store(server: EmbeddedPostgres) -> AsyncIterator[Store]:
    """Empty tables."""
    async with open_store(server.dsn) as store:
        yield store


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    """A log with the two streams of an edge and a stage."""
    bus = MemoryBus()
    await register(bus)
    yield bus
    await bus.close()


async def test_both_lanes_are_the_very_bytes(bus: MemoryBus, store: Store) -> None:
    """What was received and what was sent can be read back, with outcome, usage, timings and verdicts."""
    calls = [*(made_call(i, chunks=i % 40) for i in range(60)), relayed_call(60), relayed_call(61, cut_after=2)]
    await publish(bus, calls)
    async with consuming(bus, store):
        await all_recorded(bus)
    await assert_recorded(store, calls)
    summary = await summary_of(store, calls[30].call_id)
    assert (summary.outcome, summary.usage, summary.verdicts) == (
        "completed",
        {"output_tokens": 30},
        ["all_caps:rewrite"],
    )
    assert (summary.chunks_received, summary.chunks_released, summary.status) == (30, 30, 200)
    assert (summary.first_received, summary.first_released, summary.duration) == (10_000, 10_400, 903_000)
    assert await body_of(store, summary.body_ref) == b'{"n":30}'


async def test_a_providers_own_frames_lie_beside_what_was_made_of_them(bus: MemoryBus, store: Store) -> None:
    """A lane of its own that changes nothing about the other two."""
    call = made_call(1)
    said = [ChunkReceived(call=call.call_id, n=n, time=START, frame=b"data: {}\n\n") for n in range(9)]
    await publish(bus, [call])
    await bus.append(INBOX, encode("provider:e1", said))
    async with consuming(bus, store):
        await all_recorded(bus)
    await assert_recorded(store, [call])
    own = provider_lane(await record_of(store, call.call_id))
    assert (own.complete, own.raw) == (True, 9 * b"data: {}\n\n")
    summary = await summary_of(store, call.call_id)
    assert (summary.chunks_received, summary.chunks_released) == (len(call.original.split(b"\n\n")) - 1, 6)


async def test_the_last_stage_has_the_last_word(bus: MemoryBus, store: Store) -> None:
    """What the stages before it said counts once, and what only watched stands beside."""
    made = staged_call(1)
    await publish(bus, [made])
    async with consuming(bus, store):
        await all_recorded(bus)
    await assert_recorded(store, [made])
    found = await summary_of(store, made.call_id)
    assert found.verdicts == ["w:allow:shadow", "a:allow", "b:allow"]
    assert [(ran.name, ran.verdict, ran.held_us, ran.shadow) for ran in found.policies] == [
        ("a", "allow", 1500, False),
        ("b", "deny", 0, False),
        ("w", "stop", 0, True),
    ]
    assert (found.chunks_received, found.chunks_released, found.outcome) == (1, 1, "completed")
    record = await record_of(store, made.call_id)
    end = final_lane(record).end
    assert isinstance(end, ResponseCompleted)
    assert end.reason == "second"
    assert all(not stored.src.startswith("shadow:") for stored in record.events)
    (path,) = {row["path"] for row in await store.fetch("list_calls", "", "%", 0, 9)}
    assert path == "/"


async def test_the_view_of_chunks_shows_each_chunk_once(bus: MemoryBus, store: Store) -> None:
    """SQL sees single chunks, repeats resolved, and references instead of bytes."""
    call = made_call(1)
    await publish(bus, [call, call])
    async with consuming(bus, store):
        await all_recorded(bus)
    async with store.transaction() as connection:
        rows = await connection.fetch("SELECT * FROM chunks ORDER BY src, n")
    received = [row for row in rows if row["src"] == EDGE]
    released = [row for row in rows if row["src"] != EDGE]
    assert b"".join(row["frame"] for row in received) == call.original
    assert [row["frame"] is None for row in released] == [True, True, False, True, True, False]
    assert [row["n"] for row in released] == list(range(2, 8))


async def test_a_call_is_found_by_a_prefix(bus: MemoryBus, store: Store) -> None:
    """An unambiguous beginning is enough; otherwise the error names the candidates."""
    await publish(bus, [made_call(0x10), made_call(0x11), made_call(0x20)])
    async with consuming(bus, store):
        await all_recorded(bus)
    assert await find_call(store, made_call(0x20).call_id[:-1]) == made_call(0x20).call_id
    with pytest.raises(CallAmbiguous, match="000000000011"):
        await find_call(store, made_call(0x10).call_id[:-1])
    with pytest.raises(CallUnknown, match="luthien-stream calls"):
        await find_call(store, "ffff")


async def test_calls_are_listed_by_session_model_and_time(bus: MemoryBus, store: Store) -> None:
    """The filters of the list."""
    await publish(bus, [made_call(1), made_call(2, session="s2"), made_call(3, model="demo/story")])
    async with consuming(bus, store):
        await all_recorded(bus)
    assert [c.session for c in await list_calls(store, session="s2")] == ["s2"]
    assert [c.model for c in await list_calls(store, model="demo/story")] == ["demo/story"]
    assert len(await list_calls(store, model="demo/*")) == 3
    assert await list_calls(store, model="demo_story") == []
    assert len(await list_calls(store, limit=2)) == 2
    assert await list_calls(store, since=START + 1) == []


async def test_a_large_body_is_fetched_from_the_log_once(bus: MemoryBus, store: Store) -> None:
    """A body that the event only names is copied under its hash; one that is gone does not stop the rest."""
    body = b"x" * 100_000
    ref = sha256(body).hexdigest()
    await bus.put_body(ref, body, ttl_ms=60_000)
    requests = [
        RequestReceived(call=f"c{i}", n=0, edge="e", slip=Slip(), format="f", path="/", body_ref=name, body_size=9)
        for i, name in enumerate((ref, ref, "00" * 32))
    ]
    await bus.append(PARTITION, encode(EDGE, requests))
    async with consuming(bus, store):
        await all_recorded(bus)
    assert await body_of(store, ref) == body
    assert await body_of(store, "00" * 32) is None
    assert len(await list_calls(store)) == 3


async def test_poison_among_good_events_is_set_aside_alone(bus: MemoryBus, store: Store) -> None:
    """Events that PostgreSQL cannot store, and an entry that is no pack, become dead letters; the rest is stored."""
    good = [made_call(i) for i in range(4)]
    await publish(bus, good[:2])
    events = [ChunkReceived(call="p", n=n, frame=b"x", time=n) for n in (0, 1, 2**63 + 1, 2)]
    nul = VerdictReached(call="bad\0id", n=0, policy="p", kind="allow")
    await bus.append(PARTITION, encode(EDGE, [*events, nul]))
    await bus.append(PARTITION, b"no pack")
    await publish(bus, good[2:])
    async with consuming(bus, store):
        await all_recorded(bus)
    await assert_recorded(store, good)
    assert sorted((await record_of(store, "p")).chunks[EDGE]) == [0, 1, 2]
    letters = [letter for _, letter in await bus.dead_letters()]
    assert sorted(letter["error"] for letter in letters) == [b"PackError", b"StoreRefused", b"StoreRefused"]
    kept = [decode_event(letter["event"]) for letter in letters if "event" in letter]
    assert {event.n for event in kept} == {2**63 + 1, 0}


async def test_two_consumers_share_the_work(bus: MemoryBus, store: Store, server: EmbeddedPostgres) -> None:
    """Two members of the group at once, entries repeated: every lane is whole."""
    calls = [made_call(i, chunks=20) for i in range(40)]
    second = Store(server.dsn)
    async with consuming(bus, store), consuming(bus, second):
        await publish(bus, calls)
        await publish(bus, calls[:20])
        await all_recorded(bus)
    await second.close()
    await assert_recorded(store, calls)


async def test_what_a_dead_consumer_had_taken_is_stored(bus: MemoryBus, store: Store) -> None:
    """Entries that were read and never acknowledged are claimed."""
    calls = [made_call(i) for i in range(3)]
    await publish(bus, calls)
    async with bus.reader() as reader:
        assert await reader.read_group([PARTITION, INBOX], "the dead", count=10, block_ms=10)
    async with consuming(bus, store):
        await all_recorded(bus)
    await assert_recorded(store, calls)


async def test_new_streams_are_picked_up(bus: MemoryBus, store: Store) -> None:
    """An edge that starts later has its inbox recorded from its beginning."""
    async with consuming(bus, store) as consumer:
        await publish(bus, [made_call(1)])
        await wait_until(lambda: consumer.stored > 0)
        await bus.register_stream("ls:{e2}:inbox", recorded=True)
        for raw in relayed_call(2).encoded():
            await bus.append("ls:{e2}:inbox", raw)
        await all_recorded(bus)
    await assert_recorded(store, [made_call(1), relayed_call(2)])


async def test_the_log_forgetting_and_breaking_is_survived(bus: MemoryBus, store: Store) -> None:
    """The server of the log restarts in mid-read: reading goes on, nothing is missing."""
    calls = [made_call(i) for i in range(6)]
    async with consuming(bus, store) as consumer:
        await publish(bus, calls[:3])
        await wait_until(lambda: consumer.stored > 0)
        bus.restart()
        await publish(bus, calls[3:])
        await all_recorded(bus)
    await assert_recorded(store, calls)


async def test_migrations_run_once(store: Store, server: EmbeddedPostgres) -> None:
    """Migrating again, and from several processes at once, changes nothing."""
    others = [Store(server.dsn) for _ in range(4)]
    assert await asyncio.gather(*(migrate(other) for other in others)) == [[], [], [], []]
    for other in others:
        await other.close()


async def test_concurrent_first_migrations_make_one_schema(server: EmbeddedPostgres) -> None:
    """Several processes start on an empty database at once: one of them migrates, the others wait for it."""
    store = Store(server.dsn)
    async with store.transaction() as connection:
        await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    others = [Store(server.dsn) for _ in range(4)]
    applied = await asyncio.gather(*(migrate(other) for other in others))
    assert sorted(applied) == [[], [], [], [migration.name for migration in migrations()]]
    for other in [store, *others]:
        await other.close()


async def test_the_role_serves_until_it_is_stopped(bus: MemoryBus, store: Store, server: EmbeddedPostgres) -> None:
    """The process records what the log holds and ends in good order."""
    stop, ready = asyncio.Event(), asyncio.Event()
    instance = Instance(1, "", "", "memory", server.dsn)
    calls = [made_call(i) for i in range(3)]
    await publish(bus, calls)
    task = asyncio.create_task(serve(Config(), instance, data=Path(), bus=bus, ready=ready.set, stop=stop))
    await asyncio.wait_for(ready.wait(), 10)
    await all_recorded(bus)
    stop.set()
    await asyncio.wait_for(task, 10)
    await assert_recorded(store, calls)


async def test_errors_of_the_store_are_typed(store: Store) -> None:
    """What is wrong with the data is told from what is wrong with the server."""
    with pytest.raises(StoreRefused):
        await store.fetch("list_calls", "", "", 2**70, 1)
    with pytest.raises(StoreUnavailable, match="database:"):
        await Store("postgresql://nobody@/nothing?host=/nowhere").fetch("known_bodies", [])
    with pytest.raises(StoreUnavailable, match="no PostgreSQL URL") as caught:
        await Store("mysql://me:secret@host/name").fetch("known_bodies", [])
    assert "secret" not in str(caught.value)


async def test_without_a_database_the_role_waits(bus: MemoryBus) -> None:
    """`database: none` starts, records nothing, and stops."""
    stop, ready = asyncio.Event(), asyncio.Event()
    instance = Instance(1, "", "", "memory", "none")
    task = asyncio.create_task(serve(Config(), instance, data=Path(), bus=bus, ready=ready.set, stop=stop))
    await asyncio.wait_for(ready.wait(), 10)
    stop.set()
    await asyncio.wait_for(task, 10)
