"""Postgres stands still for minutes: calls go on, and the record has all of them afterwards."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from luthien_stream.testing.provider import FakeProvider
from tests.acceptance.clients import ask, body, session
from tests.acceptance.gateway import Gateway, kill
from tests.wait import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]
AWAY_S = 150.0


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        yield fake


async def test_minutes_without_postgres_cost_no_call_and_no_record(tmp_path: Path, provider: FakeProvider) -> None:
    """It neither answers nor refuses, as behind a broken network, which is worse than being gone."""
    async with Gateway(tmp_path, provider.url, pipeline=[{"use": "all_caps"}]) as gateway, session() as http:
        (server,) = gateway.role("postgres")
        family = [server, *server.children(recursive=True)]
        for process in family:
            kill(process, signal.SIGSTOP)
        made: set[str] = set()
        end = time.monotonic() + AWAY_S
        while time.monotonic() < end:
            got = await ask(http, gateway.url, "openai_chat", body("gpt/text-20@20"))
            assert (got.status, got.body.endswith(b"data: [DONE]\n\n")) == (200, True)
            made.add(got.call_id)
        for process in family:
            kill(process, signal.SIGCONT)
        await wait_until(lambda: made <= complete(gateway), timeout=60)
        assert "No dead letters" in gateway.command("dead-letter")


def complete(gateway: Gateway) -> set[str]:
    """The calls that the record has to their end."""
    calls = [json.loads(line) for line in gateway.command("calls", "--json", "--limit", "1000").splitlines()]
    return {call["call_id"] for call in calls if call["outcome"] == "completed"}
