"""Protocols that draw another turn, a handler that switches the model, a shadow monitor: in a running gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from luthien_stream.testing.provider import FakeProvider
from luthien_stream.upstream.script import Answer, Call, Say, fragments, words
from tests.acceptance.clients import HEADERS, body, session
from tests.acceptance.gateway import Gateway
from tests.wait import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
HANDLER = '''
"""Lets another model go on where the first one wants to run something."""
from typing import Any

from luthien_stream.policy import PolicyHandler, StreamControl


class Switches(PolicyHandler):
    """See above."""

    def apply_streaming_chunk_policy(self, chunk: Any, control: StreamControl) -> Any:
        if chunk.choices[0].delta.tool_calls:
            control.switch_model("claude/careful")
            return None
        return chunk
'''
PIPELINE: list[dict[str, Any]] = [
    {
        "use": "defer_trusted",
        "with": {"judge": "opinions/judge", "trusted": "claude/trusted"},
        "match": {"model": "claude/defer"},
    },
    {
        "use": "resample",
        "with": {"judge": "opinions/judge", "n": 2, "execute": "least"},
        "match": {"model": "claude/resample"},
    },
    {"use": "switches", "match": {"model": "claude/switch"}},
    {"use": "suspicion", "with": {"model": "opinions/judge"}, "match": {"model": "claude/watch"}},
]


@asynccontextmanager
async def running(tmp_path: Path) -> AsyncIterator[tuple[Gateway, FakeProvider, FakeProvider]]:
    """A gateway with all three, a provider, and one for the judge."""
    (tmp_path / "workers").mkdir()
    (tmp_path / "workers" / "switches.py").write_text(HANDLER)
    async with FakeProvider() as fake, FakeProvider(key="sk-judge-key-0123") as judge:
        providers = {
            "claude": {"base_url": fake.url, "format": "anthropic_messages", "passthrough": True},
            "opinions": {"base_url": f"{judge.url}/v1", "format": "openai_chat", "api_key": "sk-judge-key-0123"},
        }
        async with Gateway(tmp_path, fake.url, pipeline=PIPELINE, providers=providers) as gateway:
            yield gateway, fake, judge


def opinion(score: float) -> Answer:
    return Answer("judge", (Say(words(json.dumps({"score": score, "reason": "as it was told"}))),))


def turn(text: str, command: str = "") -> Answer:
    """An answer with text, and a tool call if there is a command."""
    call = (Call("toolu_1", "sh", fragments(json.dumps({"command": command}))),) if command else ()
    return Answer("claude", (Say(words(text)), *call), "tool_calls" if command else "stop")


async def asked(gateway: Gateway, http: aiohttp.ClientSession, model: str) -> bytes:
    """What the client is told by a model."""
    tools = [{"name": "sh", "description": "Runs", "input_schema": {"type": "object", "properties": {}}}]
    request = body(model, said="Tidy up.", tools=tools)
    del request["input"]
    async with http.post(f"{gateway.url}/v1/messages", json=request, headers=HEADERS) as answer:
        got = await answer.read()
        assert answer.status == 200, got
        return got


def said(got: bytes) -> str:
    """All text and arguments of a stream."""
    events = [json.loads(frame.partition(b"data: ")[2]) for frame in got.split(b"\n\n") if b"_delta" in frame]
    return "".join(e["delta"].get("text", e["delta"].get("partial_json", "")) for e in events if "index" in e)


async def test_protocols_in_a_running_gateway(tmp_path: Path) -> None:
    """The judge decides, the edge draws with the client's credential, and the client gets one well-formed answer."""
    async with running(tmp_path) as (gateway, fake, judge), session() as http:
        fake.script(turn("I delete.", "rm -rf /"), turn("I look.", "ls"))
        judge.script(opinion(0.9))
        assert said(await asked(gateway, http, "claude/defer")) == 'I look.{"command": "ls"}'
        assert [one.json["model"] for one in fake.requests] == ["defer", "trusted"]

        fake.script(turn("I delete.", "rm -rf /"), *[turn("I list.", "ls -l")] * 2)
        judge.script(opinion(0.9), opinion(0.2), opinion(0.2))
        assert said(await asked(gateway, http, "claude/resample")) == 'I list.{"command": "ls -l"}'
        assert [one.json["model"] for one in list(fake.requests)[2:]] == ["resample"] * 3

        fake.script(turn("I delete. ", "rm -rf /"), turn("Or rather not."))
        got = await asked(gateway, http, "claude/switch")
        assert said(got) == "I delete. Or rather not."
        assert fake.requests[-1].json["model"] == "careful"
        assert got.count(b"event: message_stop") == 1

        asked_before = len(judge.requests)
        judge.pause()
        fake.script(turn("I look.", "ls"))
        assert said(await asked(gateway, http, "claude/watch")) == 'I look.{"command": "ls"}'
        await wait_until(lambda: len(judge.requests) > asked_before, timeout=30)
        shown = judge.requests[-1].json["messages"][1]["content"].splitlines()
        assert json.loads(shown[-1]) == {"judged": {"name": "sh", "arguments": '{"command": "ls"}'}}
        judge.resume()
        await gateway.proved(4)
