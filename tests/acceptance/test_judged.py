"""Workers die while their judge is awaited: it is asked once, and the client gets what it would have got."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest

from luthien_stream.bus import connect
from luthien_stream.bus.keys import partition
from luthien_stream.core.partition import PARTITIONS
from luthien_stream.testing.provider import FakeProvider
from luthien_stream.upstream.script import Answer, Say, words
from tests.acceptance.clients import session
from tests.acceptance.fleet import stage_of
from tests.acceptance.gateway import Gateway, kill
from tests.acceptance.test_approvals import COMMANDS, ask, command
from tests.wait import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
ROUNDS = 5
PING = b'event: ping\ndata: {"type":"ping"}\n\n'


def opinion(score: float) -> Answer:
    """What the judge says."""
    said = json.dumps({"score": score, "reason": "as it was told"})
    return Answer("judge", (Say(words(said)),))


@asynccontextmanager
async def judged(tmp_path: Path) -> AsyncIterator[tuple[Gateway, FakeProvider]]:
    """A gateway whose tool calls are judged by a model of a provider of its own."""
    pipeline = [{"use": "tool_call_judge", "with": {"model": "opinions/judge", "threshold": 0.5}}]
    async with FakeProvider() as fake, FakeProvider(key="sk-judge-key-0123") as judge:
        providers = {
            "claude": {"base_url": fake.url, "format": "anthropic_messages", "passthrough": True},
            "opinions": {"base_url": f"{judge.url}/v1", "format": "openai_chat", "api_key": "sk-judge-key-0123"},
        }
        more = {"providers": providers, "workers": 2}
        async with Gateway(tmp_path, fake.url, pipeline=pipeline, **more) as gateway:
            yield gateway, judge


def has_asked(judge: FakeProvider, times: int) -> bool:
    """Whether the judge was asked so often."""
    return len(judge.requests) == times


async def owner(gateway: Gateway) -> psutil.Process:
    """The worker that has the one open call."""
    bus, stage = connect(gateway.instance.redis), await stage_of(gateway)
    try:
        for name in (partition(stage, number) for number in range(PARTITIONS)):
            if await bus.open_calls(name):
                return psutil.Process(int((await bus.lease_holder(name)).partition("-")[0]))
    finally:
        await bus.close()
    raise AssertionError("no call is open")


async def test_workers_killed_while_their_judge_is_awaited(tmp_path: Path) -> None:
    """Over and over: the same bytes as undisturbed, and one opinion a call, however many owners it had."""
    async with judged(tmp_path) as (gateway, judge), session() as http:
        judge.script(opinion(0.1), opinion(0.9))
        allowed, denied = await ask(gateway, http), await ask(gateway, http)
        assert (command(allowed), command(denied)) == (COMMANDS, None)
        for turn in range(ROUNDS):
            score, want = ((0.1, allowed), (0.9, denied))[turn % 2]
            asked = len(judge.requests)
            judge.script(opinion(score))
            judge.pause()
            held = ask(gateway, http)
            await wait_until(partial(has_asked, judge, asked + 1), timeout=30)
            kill(await owner(gateway))
            judge.resume()
            got = await held
            got.body = got.body.replace(PING, b"")  # the client waits longer than a stream may be silent
            assert got.body == want.body.replace(PING, b""), f"round {turn}: {got.body[-300:]!r}"
            assert len(judge.requests) == asked + 1
        await gateway.proved(2 + ROUNDS)
