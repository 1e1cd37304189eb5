"""The fake provider, seen by the vendors' own SDKs and by plain HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import anthropic
import openai
import pytest

from luthien_stream.testing.provider import FakeProvider
from luthien_stream.testing.scenarios import PLAIN, stream, text_of
from luthien_stream.upstream.script import Answer, Say
from tests.wait import wait_until

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
FORMATS = {CHAT: "openai_chat", MESSAGES: "anthropic_messages", RESPONSES: "openai_responses"}
ASK: list[Any] = [{"role": "user", "content": "Hello there"}]


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as one:
        yield one


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def asked(model: str, **more: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": ""}]
    return {"model": model, "max_tokens": 99, "messages": said, "input": said, "stream": True, **more}


@pytest.mark.parametrize("path", FORMATS)
async def test_a_stream_is_the_rendered_frames(provider: FakeProvider, http: aiohttp.ClientSession, path: str) -> None:
    """What arrives, what the record says was sent and what the scenario promises are the same bytes."""
    body = asked("text-5+crlf+bytes", stream_options={"include_usage": True})
    async with http.post(provider.url + path, json=body) as response:
        got = await response.read()
    assert got == b"".join(stream(FORMATS[path], "text-5+crlf+bytes", PLAIN)) == b"".join(provider.requests[0].sent)
    assert provider.requests[0].json == body
    assert provider.requests[0].path == path


@pytest.mark.parametrize("model", ["text-3", "echo", "thinking-2", "tools", "parallel-tools", "unicode"])
async def test_the_anthropic_sdk_understands(provider: FakeProvider, model: str) -> None:
    """Streamed and unstreamed answers are equal to the SDK."""
    async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="sk", max_retries=0) as client:
        whole = await client.messages.create(model=model, max_tokens=9, messages=ASK)
        async with client.messages.stream(model=model, max_tokens=9, messages=ASK) as answer:
            streamed = await answer.get_final_message()
    assert streamed.model_dump(exclude={"content"}) == whole.model_dump(exclude={"content"})
    assert [block.type for block in streamed.content] == [block.type for block in whole.content]


@pytest.mark.parametrize("model", ["text-3", "echo", "tools", "parallel-tools", "unicode"])
async def test_the_openai_sdk_understands(provider: FakeProvider, model: str) -> None:
    """Streamed and unstreamed answers are equal to the SDK."""
    async with openai.AsyncOpenAI(base_url=provider.url + "/v1", api_key="sk", max_retries=0) as client:
        whole = await client.chat.completions.create(model=model, messages=ASK)
        async with client.chat.completions.stream(model=model, messages=ASK) as answer:
            streamed = await answer.get_final_completion()
    one, other = streamed.choices[0], whole.choices[0]
    assert (one.message.content, one.finish_reason) == (other.message.content, other.finish_reason)
    assert [c.function.arguments for c in one.message.tool_calls or ()] == [
        c.function.arguments  # type: ignore[union-attr]
        for c in other.message.tool_calls or ()
    ]


@pytest.mark.parametrize("model", ["text-3", "echo", "thinking-2", "tools", "parallel-tools", "unicode"])
async def test_the_openai_sdk_understands_responses(provider: FakeProvider, model: str) -> None:
    """Streamed and unstreamed answers are equal to the SDK, and the one kept is the same."""
    async with openai.AsyncOpenAI(base_url=provider.url + "/v1", api_key="sk", max_retries=0) as client:
        whole = await client.responses.create(model=model, input="Hello there")
        async with client.responses.stream(model=model, input="Hello there") as answer:
            *_, last = [event async for event in answer]
            streamed = await answer.get_final_response()
        kept = await client.responses.retrieve(whole.id)
    assert last.type == "response.completed"
    assert [item.type for item in streamed.output] == [item.type for item in whole.output]
    assert streamed.output_text == whole.output_text
    assert whole.to_dict() == kept.to_dict()


async def test_responses_are_kept_gone_on_from_and_deleted(provider: FakeProvider) -> None:
    """Unless the request says otherwise; what is not there is refused as the vendor refuses it."""
    async with openai.AsyncOpenAI(base_url=provider.url + "/v1", api_key="sk", max_retries=0) as client:
        first = await client.responses.create(model="text-1", input="a")
        more = await client.responses.create(model="echo", input="go on", previous_response_id=first.id)
        assert more.output_text == "go on"
        await client.responses.delete(first.id)
        hidden = await client.responses.create(model="text-1", input="b", store=False)
        for id in (first.id, hidden.id):
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(id)
            with pytest.raises(openai.BadRequestError) as refused:
                await client.responses.create(model="text-1", input="c", previous_response_id=id)
            assert (refused.value.code, refused.value.param) == (
                "previous_response_not_found",
                "previous_response_id",
            )


async def test_embeddings_come_packed_or_as_numbers(provider: FakeProvider, http: aiohttp.ClientSession) -> None:
    """The SDK asks for base64 and unpacks it: the same numbers."""
    async with openai.AsyncOpenAI(base_url=provider.url + "/v1", api_key="sk", max_retries=0) as client:
        packed = await client.embeddings.create(model="e", input=["a", "b c"])
        plain = await client.embeddings.create(model="e", input=["a", "b c"], encoding_format="float")
    assert [one.embedding for one in packed.data] == [one.embedding for one in plain.data]
    assert [request.json["encoding_format"] for request in provider.requests] == ["base64", "float"]
    assert packed.usage.total_tokens == 3
    async with http.post(provider.url + "/v1/embeddings", json={"model": "e"}) as response:
        assert response.status == 400


async def test_scripts_come_before_the_model_name(provider: FakeProvider, http: aiohttp.ClientSession) -> None:
    """A test can give answers of its own, then the model names count again."""
    provider.script("error-529", Answer("mine", (Say(("Hi",)),)))
    got = []
    for _ in range(3):
        async with http.post(provider.url + CHAT, json=asked("text-1", stream=False)) as response:
            got.append((response.status, await response.text()))
    assert [status for status, _ in got] == [529, 200, 200]
    assert '"Hi"' in got[1][1]
    assert text_of("text-1") in got[2][1]


@pytest.mark.parametrize("path", FORMATS)
@pytest.mark.parametrize("model", ["reset-5", "break-5"])
async def test_a_broken_stream_breaks(
    provider: FakeProvider, http: aiohttp.ClientSession, path: str, model: str
) -> None:
    """The client sees a transport error after the first frames, never an end."""
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
        async with http.post(provider.url + path, json=asked(model)) as response:
            await response.read()
    assert provider.requests[0].ended == "broken"


async def test_a_cut_stream_ends_cleanly_but_early(provider: FakeProvider, http: aiohttp.ClientSession) -> None:
    """Only the format's own end is missing."""
    async with http.post(provider.url + CHAT, json=asked("cut-3")) as response:
        assert (await response.read()).count(b"\n\n") == 3


async def test_errors_are_in_dialect_and_may_echo_the_key(provider: FakeProvider, http: aiohttp.ClientSession) -> None:
    """Vendors repeat credentials in errors; gateways must cope."""
    headers = {"authorization": "Bearer sk-canary"}
    async with http.post(provider.url + MESSAGES, json=asked("error-echo"), headers=headers) as response:
        assert response.status == 401
        assert "sk-canary" in (await response.json())["error"]["message"]
    async with http.post(provider.url + CHAT, json=asked("error-429")) as response:
        assert (response.status, response.headers["retry-after"]) == (429, "1")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"model": "text-1"}', b'{"messages": [1]}', b'{"model": 5, "messages": [1]}']
)
async def test_bad_requests_are_refused(provider: FakeProvider, http: aiohttp.ClientSession, body: bytes) -> None:
    """The vendor's basics are enforced."""
    async with http.post(provider.url + CHAT, data=body) as response:
        assert response.status == 400


async def test_pause_holds_and_resume_goes_on(provider: FakeProvider, http: aiohttp.ClientSession) -> None:
    """A test decides how far a stream has come."""
    provider.pause()
    request = asyncio.create_task(http.post(provider.url + CHAT, json=asked("text-1")))
    done, _ = await asyncio.wait([request], timeout=0.1)
    assert not done
    provider.resume()
    async with await request as response:
        assert response.status == 200


async def test_a_client_that_goes_is_noticed(provider: FakeProvider, http: aiohttp.ClientSession) -> None:
    """The record says that the client was gone first."""
    async with http.post(provider.url + CHAT, json=asked("stall-1")) as response:
        await response.content.readany()
    await wait_until(lambda: provider.requests[0].ended == "gone")


async def test_a_write_to_a_client_that_goes_is_no_error(
    provider: FakeProvider, http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """Its connection is closing when the next frame is written: it is gone, and nothing is logged."""
    provider.pause()
    request = asyncio.create_task(http.post(provider.url + CHAT, json=asked("text-5")))
    await wait_until(lambda: len(provider.requests) == 1)
    runner = provider._runner
    assert runner is not None
    assert runner.server is not None
    (connection,) = runner.server.connections
    assert connection.transport is not None
    provider.resume()
    connection.transport.close()
    with pytest.raises(aiohttp.ClientError):
        await request
    assert provider.requests[0].ended == "gone"
    assert caplog.messages == []


async def test_models_and_token_counts(provider: FakeProvider, http: aiohttp.ClientSession) -> None:
    """The small endpoints answer in both shapes."""
    async with http.get(provider.url + "/v1/models") as response:
        assert (await response.json())["object"] == "list"
    async with http.get(provider.url + "/v1/models", headers={"anthropic-version": "2023-06-01"}) as response:
        assert (await response.json())["has_more"] is False
    async with http.post(provider.url + "/v1/messages/count_tokens", json=asked("text-1")) as response:
        assert (await response.json())["input_tokens"] > 0


async def test_a_key_may_be_required(http: aiohttp.ClientSession) -> None:
    """With `key` only that credential is served."""
    async with FakeProvider(key="sk-right") as provider:
        for key, status in (("sk-right", 200), ("sk-wrong", 401)):
            async with http.post(provider.url + MESSAGES, json=asked("text-1"), headers={"x-api-key": key}) as response:
                assert response.status == status


@pytest.mark.parametrize("path", FORMATS)
async def test_a_flaky_model_fails_every_other_time_for_each_credential(
    provider: FakeProvider, http: aiohttp.ClientSession, path: str
) -> None:
    """So that clients which run side by side all see one failure and then an answer."""
    body = asked("flaky-503")

    async def status(key: str) -> int:
        async with http.post(provider.url + path, json=body, headers={"x-api-key": key}) as response:
            await response.read()
            return response.status

    assert [await status(key) for key in ("one", "two", "one", "two", "one")] == [503, 503, 200, 200, 503]


async def test_a_flaky_connection_breaks_once(provider: FakeProvider, http: aiohttp.ClientSession) -> None:
    """After some frames; then the answer is whole."""
    async with http.post(provider.url + CHAT, json=asked("flaky-break-3")) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    async with http.post(provider.url + CHAT, json=asked("flaky-break-3")) as response:
        assert (await response.read()).endswith(b"data: [DONE]\n\n")


async def test_the_model_acts_as_it_is_told(provider: FakeProvider) -> None:
    """A tool and arguments of the caller's choice; with its result, text."""
    said: list[Any] = [{"role": "user", "content": 'Please use Bash {"command": "echo {}"} now'}]
    async with anthropic.AsyncAnthropic(base_url=provider.url, api_key="sk", max_retries=0) as client:
        first = await client.messages.create(model="act", max_tokens=9, messages=said)
        (call,) = [block for block in first.content if block.type == "tool_use"]
        assert (call.name, call.input) == ("Bash", {"command": "echo {}"})
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "done"}
        said += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
        second = await client.messages.create(model="act", max_tokens=9, messages=said)
    assert [block.type for block in second.content] == ["text"]
    assert second.stop_reason == "end_turn"
