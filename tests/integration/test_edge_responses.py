"""`/v1/responses` through the edge: what is special about it, relayed and policed."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from luthien_stream.core.lens import Request
from luthien_stream.core.sse import data_of
from luthien_stream.events import log
from luthien_stream.events.answer import Event, Text
from luthien_stream.policy.api import Policy, Refuse
from luthien_stream.policy.context import Context
from luthien_stream.policy.stream import Events
from tests.integration.edge_rig import KEY, Rig, running
from tests.wait import wait_until

FORMAT = "openai_responses"
AGENT: dict[str, Any] = {
    "store": False,
    "instructions": "You are a coding agent.",
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "thread-1",
    "reasoning": {"effort": "medium", "summary": "auto"},
    "tools": [
        {"type": "function", "name": "exec_command", "strict": False, "parameters": {"type": "object"}},
        {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
        {"type": "local_shell"},
        {"type": "web_search"},
    ],
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "<permissions>"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
        {"type": "reasoning", "summary": [], "encrypted_content": "c2ln"},
        {"type": "function_call", "name": "exec_command", "arguments": "{}", "call_id": "c1"},
        {"type": "function_call_output", "call_id": "c1", "output": "done"},
    ],
}
"""A later turn of an agent that keeps its history itself."""


class Shout(Policy):
    """Changes every text."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield texts in capitals."""
        async for event in events:
            yield event.with_text(event.text.upper()) if isinstance(event, Text) else event


class No(Policy):
    """Refuses every request."""

    async def request(self, request: Request, ctx: Context) -> Request:
        """Refuse it."""
        raise Refuse("Not today.", "always")


def sdk(rig: Rig) -> openai.AsyncOpenAI:
    """The vendor's client of the edge."""
    return openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key=KEY, max_retries=0)


def events_of(frames: list[bytes]) -> list[dict[str, Any]]:
    """The events of a stream."""
    return [json.loads(data) for data in map(data_of, frames) if data]


@pytest.mark.parametrize("policies", [(), (Shout(),)], ids=["relayed", "policed"])
async def test_an_agents_request_reaches_the_provider_as_it_came(policies: tuple[Policy, ...]) -> None:
    """Tools of every type, items of every type, and fields that nobody here knows."""
    async with running(*policies) as rig:
        got = await rig.ask("tools", FORMAT, fields=AGENT)
        assert got.status == 200
        sent = rig.provider.requests[0].json
        assert {name: sent[name] for name in AGENT} == AGENT
        assert rig.provider.requests[0].path == "/v1/responses"
        assert (await rig.one(got.call, log.RequestReceived)).session == "thread-1"
        assert (b"THE TOOL SAYS: DONE" if policies else b"The tool says: done") in got.body


async def test_an_edit_reaches_the_last_event() -> None:
    """Agents read the items and the end, not the deltas."""
    async with running(Shout()) as rig:
        got = await rig.ask("text-5", FORMAT)
        events = events_of(got.frames)
        (item,) = events[-1]["response"]["output"]
        assert events[-1]["type"] == "response.completed"
        assert events[-2]["item"] == item
        assert item["content"][0]["text"] == "ALPHA 0 BRAVO 1 CHARLIE 2 DELTA 3 ECHO 4 "
        assert b"alpha" not in got.body
        await wait_until(lambda: rig.delivered(got.call))
        assert await rig.all(got.call, log.ProtocolViolated) == []


@pytest.mark.parametrize("policies", [(), (Shout(),)], ids=["relayed", "policed"])
async def test_a_stream_that_breaks_raises_in_the_sdk(policies: tuple[Policy, ...]) -> None:
    """The edge's own error is one that the client raises, in a broken connection."""
    async with running(*policies) as rig, sdk(rig) as client:
        for model in ("cut-5", "break-5", "error-frame-5"):
            got = await rig.ask(model, FORMAT)
            assert got.broken or model == "error-frame-5"
            error = events_of(got.frames)[-1]
            assert error["type"] == "error"
            assert set(error["error"]) >= {"message", "type", "code"}
            message = "Overloaded" if model == "error-frame-5" else error["error"]["message"]
            with pytest.raises(openai.APIError, match=re.escape(message)):
                async for _ in await client.responses.create(model=model, input="a", stream=True):
                    pass


async def test_a_refused_request_is_a_whole_response() -> None:
    """Streamed or not, the client reads it as any answer."""
    async with running(No()) as rig, sdk(rig) as client:
        whole = await client.responses.create(model="text-5", input="a")
        async with client.responses.stream(model="text-5", input="a") as stream:
            streamed = await stream.get_final_response()
        for answer in (whole, streamed):
            assert (answer.output_text, answer.status, answer.model) == ("Not today.", "completed", "text-5")
        assert not rig.provider.requests


async def test_a_response_that_the_provider_holds_is_gone_on_from() -> None:
    """Its refusal of one that it has not is the client's, unchanged."""
    async with running() as rig, sdk(rig) as client:
        first = await client.responses.create(model="text-1", input="a")
        more = await client.responses.create(model="echo", input="go on", previous_response_id=first.id)
        assert more.output_text == "go on"
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model="echo", input="b", previous_response_id="resp_none")
        assert refused.value.code == "previous_response_not_found"


async def test_what_runs_in_the_background_is_refused_where_policies_look() -> None:
    """Nobody could see it."""
    async with running(Shout()) as rig, sdk(rig) as client:
        with pytest.raises(openai.BadRequestError, match="background"):
            await client.responses.create(model="text-1", input="a", background=True)


async def test_the_demo_models_answer() -> None:
    """Without a key or a provider."""
    async with running() as rig, sdk(rig) as client:
        answer = await client.responses.create(model="demo/echo", input="Hello you")
        assert answer.output_text == "Hello you"
