"""Two edges on one port: both serve, and the death of one is the end of its own calls only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from luthien_stream.activity.read import record_of, summary_of
from luthien_stream.activity.store import Store
from luthien_stream.bus import connect, keys
from luthien_stream.events.log import ResponseFailed
from luthien_stream.record.lanes import final_lane
from luthien_stream.testing.provider import FakeProvider
from tests.acceptance.clients import Received, ask_all, body
from tests.acceptance.fleet import PASS, STREAMS, requests, undisturbed
from tests.acceptance.gateway import Gateway, kill
from tests.wait import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        yield fake


@pytest.fixture
async def gateway(tmp_path: Path, provider: FakeProvider) -> AsyncIterator[Gateway]:
    async with Gateway(tmp_path, provider.url, pipeline=PASS, edges=2) as running:
        yield running


async def one_edge_killed(gateway: Gateway) -> list[Received]:
    """Run all streams and kill an edge in the middle; return what the clients got."""
    got: list[Received] = []
    running = asyncio.create_task(ask_all(gateway.url, requests(), got))
    await wait_until(lambda: len(got) == STREAMS and all(len(one.arrivals) > 20 for one in got), timeout=30)
    dead, other = gateway.role("edge")
    kill(dead)
    await wait_until(lambda: any(one.broken for one in got), timeout=5)
    await running
    assert other.is_running()
    return got


async def edges_of(store: Store, calls: list[Received]) -> set[str]:
    """Which edges served these, as the record says."""
    async with store.transaction() as connection:
        rows = await connection.fetch("SELECT edge FROM calls WHERE call_id = ANY ($1)", [one.call_id for one in calls])
    assert len(rows) == len(calls)
    return {row["edge"] for row in rows}


async def stored_to_the_end(gateway: Gateway, edge: str) -> bool:
    """Whether the record has all of an edge's inbox."""
    bus = connect(gateway.instance.redis)
    try:
        lag = await bus.lag(keys.inbox(edge))
        return (lag.entries, lag.pending) == (0, 0)
    finally:
        await bus.close()


async def check_end(store: Store, one: Received, whole: bytes) -> None:
    """The call of a dead edge: the client has a true beginning, the record no less, and an end by the owner."""
    assert one.broken
    assert whole.startswith(one.body)

    async def ended() -> bool:
        return final_lane(await record_of(store, one.call_id)).end is not None

    await wait_until(ended, timeout=60)
    final = final_lane(await record_of(store, one.call_id))
    assert final.complete
    assert final.src.startswith("stage:")
    assert isinstance(final.end, ResponseFailed)
    assert final.end.error == "edge_gone"
    assert final.raw.startswith(one.body)
    assert whole.startswith(final.raw)


async def test_a_killed_edge_ends_its_own_calls_only(gateway: Gateway) -> None:
    """Its clients' connections break, the other's streams complete, and the record has an end for every call."""
    calm = await undisturbed(gateway)
    got = await one_edge_killed(gateway)
    broken = [i for i, one in enumerate(got) if one.broken]
    others = [i for i, one in enumerate(got) if not one.broken]
    assert broken
    assert others
    assert all(got[i].body == calm[i] for i in others)
    store = Store(gateway.instance.database)
    try:
        for i in broken:
            await check_end(store, got[i], calm[i])
        (dead,) = await edges_of(store, [got[i] for i in broken])
        (alive,) = await edges_of(store, [got[i] for i in others])
        assert dead != alive
        await wait_until(lambda: stored_to_the_end(gateway, dead), timeout=10)
        await wait_until(lambda: len(gateway.role("edge")) == 2, timeout=10)
        assert await undisturbed(gateway) == calm
    finally:
        await store.close()


async def test_a_relayed_call_of_a_killed_edge_fails_in_the_record(tmp_path: Path, provider: FakeProvider) -> None:
    """No stage sees it, so no worker ends it: the recorder does, after a minute without a word from the edge."""
    got: list[Received] = []
    async with Gateway(tmp_path, provider.url) as gateway:
        asked = [("anthropic_messages", body("claude/text-600@20"))]
        running = asyncio.create_task(ask_all(gateway.url, asked, got))
        await wait_until(lambda: bool(got) and len(got[0].arrivals) > 20, timeout=30)
        kill(gateway.role("edge")[0])
        await running
        assert got[0].broken
        store = Store(gateway.instance.database)
        try:

            async def failed() -> bool:
                summary = await summary_of(store, got[0].call_id)
                return (summary.outcome, summary.error) == ("failed", "edge_gone")

            await wait_until(failed, timeout=120)
            assert final_lane(await record_of(store, got[0].call_id)).raw.startswith(got[0].body)
        finally:
            await store.close()
        assert "edge_gone" in gateway.command("calls")
