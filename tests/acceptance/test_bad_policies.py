"""Policies that misbehave, in real processes: each costs its own call, with a clear event, and no other one notices."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from luthien_stream.testing.provider import FakeProvider
from tests.acceptance.clients import Received, ask, body, session
from tests.acceptance.gateway import Gateway
from tests.wait import wait_until

pytestmark = pytest.mark.timeout(120)
POLICY = """
import asyncio
from luthien_stream.policy import Policy, Text

class Misbehave(Policy):
    async def response(self, events, ctx):
        last = None
        async for event in events:
            if isinstance(event, Text):
                if "RAISE" in event.text:
                    raise RuntimeError("withheld: " + event.text)
                if "AWAIT" in event.text:
                    await asyncio.sleep(0)
                while "LOOP" in event.text:
                    pass
                if "LATE" in event.text:
                    last = event
            yield event
        if last:
            yield last
"""
# What the edge itself puts between two frames when nothing came for a while.
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
COMMENT = b": keep-alive\n\n"
FAILURES = {"RAISE": "RuntimeError", "AWAIT": "ForeignAwait", "LATE": "YieldAfterEnd"}
BYSTANDERS = [("anthropic_messages", "claude/text-180@20"), ("openai_chat", "gpt/text-180@20")] * 3
Way = tuple[str, str, bool]
WAYS: list[Way] = [
    (word, format, stream)
    for word in FAILURES
    for format in ("anthropic_messages", "openai_chat")
    for stream in (True, False)
]


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        yield fake


async def test_each_costs_its_own_call_only(tmp_path: Path, provider: FakeProvider) -> None:
    """Twelve calls whose policy fails and one whose policy never returns, amid six that have nine seconds to go."""
    (tmp_path / "workers").mkdir()
    (tmp_path / "workers" / "misbehave.py").write_text(POLICY)
    async with (
        Gateway(tmp_path, provider.url, pipeline=[{"use": "misbehave"}], workers=2) as gateway,
        session() as http,
    ):
        others = [asyncio.create_task(ask(http, gateway.url, form, body(model))) for form, model in BYSTANDERS]
        await wait_until(lambda: len(provider.requests) == len(BYSTANDERS))
        endless = asyncio.create_task(misbehave(http, gateway, "LOOP", "openai_chat", True))
        failed = await asyncio.gather(*(misbehave(http, gateway, *way) for way in WAYS))
        for way, got in zip(WAYS, failed, strict=True):
            fails_closed(way, got)
        assert b'"code":"poison"' in (await endless).body
        assert (await endless).call_id in gateway.command("dead-letter", "--json")
        for other in others:
            await undisturbed(await other, provider)
        await wait_until(lambda: recorded(gateway) == {got.call_id for got in failed}, timeout=15)
        for (word, _, _), got in list(zip(WAYS, failed, strict=True))[:: len(WAYS) // len(FAILURES)]:
            named_by_an_event(gateway, got, FAILURES[word])


async def undisturbed(got: Received, provider: FakeProvider) -> None:
    """Byte for byte what the provider sent, but for keep-alives between frames while another owner takes over."""
    assert got.broken == "", got.body[-500:]
    assert got.body.replace(PING, b"").replace(COMMENT, b"") in [
        b"".join(seen.sent).replace(PING, b"") for seen in provider.requests
    ]


async def misbehave(http: aiohttp.ClientSession, gateway: Gateway, word: str, format: str, stream: bool) -> Received:
    """A call whose answer makes the policy do what `word` says."""
    return await ask(http, gateway.url, format, body("demo/echo", stream=stream, said=f"one two {word} three"))


def fails_closed(way: Way, got: Received) -> None:
    """An error in the dialect, no end of an answer that was none, and nothing of what the policy raised."""
    _, _, stream = way
    assert got.status == (200 if stream else 503), way
    assert b"A policy failed" in got.body, way
    assert b"RuntimeError" not in got.body, way
    assert b"withheld: " not in got.body, way
    assert b"[DONE]" not in got.body, way
    assert b"message_stop" not in got.body, way


def recorded(gateway: Gateway) -> set[str]:
    """The calls that a policy's failure ended, as `calls` lists them."""
    calls = [json.loads(line) for line in gateway.command("calls", "--json").splitlines()]
    return {call["call_id"] for call in calls if call["verdicts"] == ["misbehave:failed"]}


def named_by_an_event(gateway: Gateway, got: Received, error: str) -> None:
    """It says which policy, and what it did."""
    events = json.loads(gateway.command("show", got.call_id, "--json"))["events"]
    (failed,) = [event["data"] for event in events if event["type"] == "policy.failed"]
    assert (failed["policy"], failed["error"], "misbehave.py:" in failed["message"]) == ("misbehave", error, True)
