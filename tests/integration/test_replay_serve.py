"""A provider of recordings: the vendors' SDKs get the very answers, and a miss says what came closest."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import aiohttp
import anthropic
import openai
import pytest

from luthien_stream.policy.catalogue import find
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.record.made import PATHS
from luthien_stream.replay.serve.book import Book
from luthien_stream.replay.serve.match import key_of, normalised
from luthien_stream.replay.serve.server import RecordingServer
from luthien_stream.testing.rig import request_body
from luthien_stream.upstream.render import STREAMS
from luthien_stream.upstream.script import Answer, Say, words
from tests.unit.replay.calls import recorded

FORMATS = tuple(PATHS)
ANSWERS = [Answer("m", (Say(words(f"This is answer number {number}.")),)) for number in range(2)]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A server of two answers to one request in each format."""
    noop = Pipeline.of(find("noop")())
    calls = [
        recorded(noop, answer, format=format, number=2 * place + number)
        for place, format in enumerate(FORMATS)
        for number, answer in enumerate(ANSWERS)
    ]
    server = RecordingServer(Book(calls))
    port = await server.listen("127.0.0.1", 0)
    yield f"http://127.0.0.1:{port}"
    await server.close()


@pytest.mark.parametrize("format", FORMATS)
async def test_recordings_of_one_request_come_in_their_order(url: str, format: str) -> None:
    """Each once; then it is a miss that says so."""
    async with aiohttp.ClientSession() as http:
        for number in range(2):
            async with http.post(url + PATHS[format], data=request_body()) as answer:
                assert answer.status == 200
                assert await answer.read() == b"".join(STREAMS[format](ANSWERS[number], True))
        async with http.post(url + PATHS[format], data=request_body()) as answer:
            assert answer.status == 404
            assert "--reuse" in await answer.text()


async def test_a_miss_says_where_the_nearest_differs(url: str) -> None:
    """In the client's dialect, by the path in the request."""
    body = json.loads(request_body())
    body["messages"][0]["content"] = "Goodbye"
    async with aiohttp.ClientSession() as http, http.post(url + "/v1/messages", json=body) as answer:
        assert answer.status == 404
        found = await answer.json()
    assert found["type"] == "error"
    assert 'messages[0].content: recorded "Hello", asked "Goodbye"' in found["error"]["message"]


async def test_the_vendors_own_clients(url: str) -> None:
    """Any key will do."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as chat:
        with pytest.raises(openai.NotFoundError, match="nearest"):
            await chat.chat.completions.create(model="other", messages=[{"role": "user", "content": "Hello"}])
        assert [model.id async for model in chat.models.list()] == ["m"]
    async with anthropic.AsyncAnthropic(base_url=url, api_key="any", max_retries=0) as messages:
        counted = await messages.messages.count_tokens(model="m", messages=[{"role": "user", "content": "Hello"}])
        assert counted.input_tokens > 0


def test_what_changes_from_run_to_run_is_left_out() -> None:
    """Ids by their order, who asks, marks for the cache, the line about billing; not what is asked."""
    one = {
        "model": "m", "metadata": {"user_id": "a"},
        "system": [{"type": "text", "text": "x-anthropic-billing-header: cch=1;"}, {"type": "text", "text": "Help."}],
        "messages": [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_01A", "name": "x", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_01A", "content": "y"}]},
        ],
    }  # fmt: skip
    other = json.loads(json.dumps(one).replace("toolu_01A", "toolu_99Z").replace("cch=1", "cch=2"))
    other["metadata"] = {"user_id": "b"}
    other["messages"][1]["content"][0]["cache_control"] = {"type": "ephemeral"}
    keys = [key_of(normalised(json.dumps(value).encode())) for value in (one, dict(reversed(other.items())))]
    assert keys[0] == keys[1]
    other["messages"][1]["content"][0]["content"] = "z"
    assert key_of(normalised(json.dumps(other).encode())) != keys[0]
