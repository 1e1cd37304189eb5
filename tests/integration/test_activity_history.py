"""An agent sends its whole history with each request: the record keeps the history once, and each turn once."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from luthien_stream.activity.bodies import read_bodies, write_bodies
from luthien_stream.activity.store import Store
from luthien_stream.embedded.postgres import EmbeddedPostgres
from tests.integration.activity_rig import database, open_store

REQUESTS, HISTORY, TURN = 200, 300_000, 600
"""Requests, and bytes of the history that each begins with and of each turn that is added."""
SIZES = """
SELECT sum(pg_total_relation_size(oid))::bigint AS bytes FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname ~ '^(bodies|chains|pieces)'
"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(database(tmp_path))


def requests() -> Iterator[bytes]:
    """Of one conversation, each with all that was said before."""
    chance = random.Random(7)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(20_000)]

    def said(size: int) -> str:
        return " ".join(chance.choices(words, k=size // 8))

    messages = [{"role": ("user", "assistant")[i % 2], "content": said(HISTORY // 50)} for i in range(50)]
    for _ in range(REQUESTS):
        messages.append({"role": "user", "content": said(TURN)})
        yield json.dumps({"model": "m", "stream": True, "messages": messages}).encode()
        messages.append({"role": "assistant", "content": said(TURN)})


async def bytes_on_disk(store: Store) -> int:
    """Of requests, in all forms, with their indexes."""
    return int((await store.select(SIZES))[0]["bytes"])


async def test_two_hundred_requests_with_one_history_cost_one_history(server: EmbeddedPostgres) -> None:
    """And every one of them comes back byte for byte."""
    async with open_store(server.dsn) as store:
        before, sent = await bytes_on_disk(store), list(requests())
        bodies = {hashlib.sha256(body).hexdigest(): body for body in sent}
        for ref, body in bodies.items():
            async with store.transaction() as connection:
                await write_bodies(connection, {ref: body})
        cost = await bytes_on_disk(store) - before
        assert sum(map(len, sent)) > 80_000_000
        assert cost < HISTORY + REQUESTS * 2 * TURN + REQUESTS * 5_000, f"{cost} bytes"
        async with store.transaction() as connection:
            assert await read_bodies(connection, list(bodies)) == bodies
