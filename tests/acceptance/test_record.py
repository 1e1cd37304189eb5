"""What Postgres holds equals what went over the wire, whatever happened to the servers meanwhile."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from luthien_stream.activity.read import list_calls, record_of
from luthien_stream.activity.store import Store
from luthien_stream.record.lanes import final_lane, original_lane
from luthien_stream.testing.provider import FakeProvider
from tests.acceptance.clients import Received, ask, body, session
from tests.acceptance.gateway import Gateway, kill
from tests.wait import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
CALLS, AT_ONCE = 1_000, 16
PIPELINE = [{"use": "string_replace", "with": {"replace": [["alpha 0 bravo", "<<swapped>>"]]}}]


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        yield fake


async def answered(http: aiohttp.ClientSession, gateway: Gateway, i: int) -> Received:
    """Call number `i`, asked again while the gateway refuses new calls with a 503."""
    format, model = (("anthropic_messages", "claude/text-40@80"), ("openai_chat", "gpt/text-40@80"))[i % 2]
    while True:
        got = await ask(http, gateway.url, format, body(model, said=f"call {i}"))
        if got.status != 503:
            return got
        await asyncio.sleep(0.2)  # what `retry-after` asks of a client


async def ask_thousand(gateway: Gateway, done: list[tuple[int, Received]]) -> None:
    """All calls, a few at a time."""
    numbers = iter(range(CALLS))

    async def one_client() -> None:
        for i in numbers:
            done.append((i, await answered(http, gateway, i)))

    async with session() as http, asyncio.TaskGroup() as clients:
        for _ in range(AT_ONCE):
            clients.create_task(one_client())


async def stop_and_see_it_return(gateway: Gateway, role: str, sign: int) -> None:
    """End a server as an operator would; `up` starts it again."""
    (server,) = gateway.role(role)
    kill(server, sign)
    await wait_until(lambda: [p.pid for p in gateway.role(role)] not in ([], [server.pid]), timeout=30)


async def recorded(store: Store) -> bool:
    """Whether the record has the ends of all calls."""
    calls = await list_calls(store, limit=2 * CALLS)
    return sum(call.delivered is not None for call in calls) >= CALLS


async def test_postgres_equals_the_wire_after_1000_calls_and_two_restarts(
    tmp_path: Path, provider: FakeProvider
) -> None:
    """Both lanes are byte-equal to what was received and sent, Valkey and Postgres stopped and restarted on the way."""
    async with Gateway(tmp_path, provider.url, pipeline=PIPELINE, workers=2) as gateway:
        done: list[tuple[int, Received]] = []
        running = asyncio.create_task(ask_thousand(gateway, done))
        await wait_until(lambda: len(done) > CALLS // 4 or running.done(), timeout=120)
        await stop_and_see_it_return(gateway, "valkey", signal.SIGTERM)
        await wait_until(lambda: len(done) > CALLS // 2 or running.done(), timeout=120)
        await stop_and_see_it_return(gateway, "postgres", signal.SIGINT)
        await running
        sent = {seen.json["messages"][0]["content"]: b"".join(seen.sent) for seen in provider.requests}
        store = Store(gateway.instance.database)
        try:
            await wait_until(lambda: recorded(store), timeout=60)
            for i, got in done:
                record = await record_of(store, got.call_id)
                original, final = original_lane(record), final_lane(record)
                assert original.complete
                assert final.complete
                assert original.raw == sent[f"call {i}"], f"call {i}: original lane differs"
                assert final.raw == got.body, f"call {i}: final lane differs"
                assert b"<<swapped>>" in got.body
        finally:
            await store.close()
        await gateway.proved(CALLS)
