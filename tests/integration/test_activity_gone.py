"""Calls of a dead edge that no stage polices get their end in the record, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from luthien_stream.activity.gone import QUIET_S, GoneEdges
from luthien_stream.activity.read import list_calls, record_of, summary_of
from luthien_stream.activity.store import Store
from luthien_stream.bus.memory import MemoryBus
from luthien_stream.embedded.postgres import EmbeddedPostgres
from luthien_stream.events.log import (
    AnyEvent,
    Hop,
    PolicyBypassed,
    RequestReceived,
    RequestReleased,
    ResponseCompleted,
    ResponseFailed,
    ResponseStarted,
    Slip,
)
from luthien_stream.events.pack import encode
from luthien_stream.record.lanes import final_lane
from tests.integration.activity_rig import INBOX, PARTITION, all_recorded, consuming, database, open_store, register
from tests.recorded import EDGE, RECORD, STAGE, START, call_id, made_call, relayed_call

CALL = call_id(1)
REQUEST_ONLY = Slip("ab12cd34", (Hop("main@ab12cd34", 0, ("request",)),))
ALIVE_MS = 3_600_000


class Time:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.seconds = START / 1e6

    def us(self) -> int:
        """Microseconds since 1970."""
        return int(self.seconds * 1e6)

    def monotonic(self) -> float:
        """Seconds."""
        return self.seconds


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
def time() -> Time:
    """Time stands still unless it is moved."""
    return Time()


@pytest.fixture
async def bus(time: Time) -> AsyncIterator[MemoryBus]:
    """A log with the streams of a stage and of an edge without heartbeat."""
    bus = MemoryBus(clock=time.us)
    await register(bus)
    yield bus
    await bus.close()


def recorder(bus: MemoryBus, store: Store, time: Time) -> GoneEdges:
    """One recorder's look at the edges."""
    return GoneEdges(bus, store, asyncio.Event(), now=time.monotonic)


def begun(slip: Slip) -> list[AnyEvent]:
    """What an edge says of a call until its answer starts."""
    request = RequestReceived(call=CALL, n=0, time=START, edge="e1", slip=slip, format="openai_chat", path="/v1")
    return [request, ResponseStarted(call=CALL, n=1, time=START, status=200)]


async def record(bus: MemoryBus, store: Store, *entries: tuple[str, str, list[AnyEvent]]) -> None:
    """Write (stream, source, events) to the log and have them stored."""
    for stream, src, events in entries:
        await bus.append(stream, encode(src, events))
    async with consuming(bus, store):
        await all_recorded(bus)


async def look_twice(gone: GoneEdges, time: Time) -> None:
    """Find the edge silent, and look again when it has been for long enough."""
    await gone.look()
    time.seconds += QUIET_S
    await gone.look()


async def outcome(store: Store) -> tuple[str, str]:
    """How the list of calls says that it ended."""
    summary = await summary_of(store, CALL)
    return summary.outcome, summary.error


@pytest.mark.parametrize("slip", [Slip(), Slip("ab12cd34")], ids=["no pipeline", "bypassed"])
async def test_a_relayed_call_of_a_dead_edge_fails(bus: MemoryBus, store: Store, time: Time, slip: Slip) -> None:
    """It is shown as failed, by a source of its own, at the time when the edge was last heard."""
    await record(bus, store, (INBOX, EDGE, [*begun(slip), PolicyBypassed(call=CALL, n=2, at=0, why="no worker")]))
    await look_twice(recorder(bus, store, time), time)
    assert await outcome(store) == ("failed", "edge_gone")
    assert (await summary_of(store, CALL)).duration == 0
    end = final_lane(await record_of(store, CALL)).end
    assert isinstance(end, ResponseFailed)
    assert (await record_of(store, CALL)).events[-1].src == "activity:e1"


async def test_a_call_that_its_last_stage_released_fails(bus: MemoryBus, store: Store, time: Time) -> None:
    """From there on the edge alone has it; before, a worker will end it. A late release is noticed."""
    await record(bus, store, (PARTITION, EDGE, begun(REQUEST_ONLY)), (INBOX, STAGE, []))
    gone = recorder(bus, store, time)
    await look_twice(gone, time)
    assert await outcome(store) == ("open", "")
    await record(bus, store, (INBOX, STAGE, [RequestReleased(call=CALL, n=0)]))
    await look_twice(gone, time)
    assert await outcome(store) == ("failed", "edge_gone")


async def test_policed_and_ended_calls_are_left_alone(bus: MemoryBus, store: Store, time: Time) -> None:
    """The owner of the partition ends policed calls; what has an end keeps it."""
    policed = made_call(2)
    cut = [(PARTITION, src, events) for src, events in policed.packs[:4]]
    whole = [(INBOX, src, events) for src, events in relayed_call(3).packs]
    await record(bus, store, *cut, *whole)
    await look_twice(recorder(bus, store, time), time)
    assert {c.call_id: c.outcome for c in await list_calls(store)} == {policed.call_id: "open", call_id(3): "completed"}


async def test_an_edge_that_lives_keeps_its_calls(bus: MemoryBus, store: Store, time: Time) -> None:
    """However long nothing comes from it."""
    await record(bus, store, (INBOX, EDGE, begun(Slip())))
    await bus.beat("edge", "e1", {}, ttl_ms=ALIVE_MS)
    await look_twice(recorder(bus, store, time), time)
    assert await outcome(store) == ("open", "")


async def test_nothing_is_ended_before_the_inbox_is_stored(bus: MemoryBus, store: Store, time: Time) -> None:
    """The end may lie in what the record has not got yet."""
    await record(bus, store, (INBOX, EDGE, begun(Slip())))
    await bus.append(INBOX, encode(RECORD, [ResponseCompleted(call=CALL, n=0, time=START, lane="final")]))
    gone = recorder(bus, store, time)
    await look_twice(gone, time)
    assert await outcome(store) == ("open", "")
    await record(bus, store)
    await gone.look()
    assert await outcome(store) == ("completed", "")


async def test_after_a_restart_of_the_log_silence_counts_anew(bus: MemoryBus, store: Store, time: Time) -> None:
    """Heartbeats may have been forgotten: edges have time to come back."""
    await record(bus, store, (INBOX, EDGE, begun(Slip())))
    gone = recorder(bus, store, time)
    await gone.look()
    bus.restart()
    time.seconds += QUIET_S
    await gone.look()
    assert await outcome(store) == ("open", "")
    time.seconds += QUIET_S
    await gone.look()
    assert await outcome(store) == ("failed", "edge_gone")


async def test_several_recorders_write_one_end(bus: MemoryBus, store: Store, time: Time) -> None:
    """Whoever looks, and how often: the same row."""
    await record(bus, store, (INBOX, EDGE, begun(Slip())))
    first, second = recorder(bus, store, time), recorder(bus, store, time)
    await asyncio.gather(first.look(), second.look())
    time.seconds += QUIET_S
    await asyncio.gather(first.look(), second.look())
    await look_twice(recorder(bus, store, time), time)
    async with store.transaction() as connection:
        rows = await connection.fetch("SELECT src, n FROM events WHERE type = 'response.failed'")
    assert [(row["src"], row["n"]) for row in rows] == [("activity:e1", 0)]


async def test_the_edge_itself_has_the_last_word(bus: MemoryBus, store: Store, time: Time) -> None:
    """Should it have been cut off only, its own end counts, even if it comes later."""
    await record(bus, store, (INBOX, EDGE, begun(Slip())))
    await look_twice(recorder(bus, store, time), time)
    assert await outcome(store) == ("failed", "edge_gone")
    await record(bus, store, (INBOX, RECORD, [ResponseCompleted(call=CALL, n=0, time=START, lane="final")]))
    assert await outcome(store) == ("completed", "")
