"""The vendors' own SDKs through the processes that `up` starts: streamed and not, tools included, policies acting."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
import pytest_asyncio

from luthien_stream.testing.provider import FakeProvider
from tests.acceptance.gateway import Gateway

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]
PIPELINE = [
    {"use": "string_replace", "with": {"replace": [["alpha 0 bravo", "<<swapped>>"]]}},
    {"use": "block_tools", "with": {"rules": [{"tool": "delete_*"}]}},
]
WEATHER = "get_weather"
SCHEMA: dict[str, object] = {"type": "object", "properties": {"city": {"type": "string"}}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        yield fake


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, provider: FakeProvider) -> AsyncIterator[Gateway]:
    async with Gateway(Path(tmp_path_factory.mktemp("sdk")), provider.url, pipeline=PIPELINE) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def claude(gateway: Gateway) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key="sk-ant-test", max_retries=0) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="module")
async def gpt(gateway: Gateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="sk-test", max_retries=0) as client:
        yield client


def claude_tools(name: str = WEATHER) -> list[anthropic.types.ToolParam]:
    return [{"name": name, "description": "", "input_schema": SCHEMA}]


def gpt_tools(name: str = WEATHER) -> list[openai.types.chat.ChatCompletionToolParam]:
    return [{"type": "function", "function": {"name": name, "parameters": SCHEMA}}]


async def test_anthropic_unstreamed_text_is_edited(claude: anthropic.AsyncAnthropic) -> None:
    """A policy's edit reaches the SDK in an unstreamed answer."""
    answer = await claude.messages.create(
        model="claude/text-20", max_tokens=100, messages=[{"role": "user", "content": "hello"}]
    )
    (block,) = answer.content
    assert block.type == "text"
    assert "<<swapped>>" in block.text
    assert "alpha 0 bravo" not in block.text
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens > 0


async def test_anthropic_streamed_text_is_edited(claude: anthropic.AsyncAnthropic) -> None:
    """A policy's edit reaches the SDK's stream helper, whose final message is whole."""
    async with claude.messages.stream(
        model="claude/text-20", max_tokens=100, messages=[{"role": "user", "content": "hello"}]
    ) as stream:
        streamed = "".join([text async for text in stream.text_stream])
        final = await stream.get_final_message()
    assert "<<swapped>>" in streamed
    assert [block.text for block in final.content if block.type == "text"] == [streamed]
    assert final.stop_reason == "end_turn"


async def test_anthropic_tool_calls_pass_or_are_denied(claude: anthropic.AsyncAnthropic) -> None:
    """An allowed tool call arrives whole, streamed and not; a denied one becomes text and the turn ends."""
    said: list[anthropic.types.MessageParam] = [{"role": "user", "content": "go"}]
    for name, reason in ((WEATHER, "tool_use"), ("delete_files", "end_turn")):
        tools = claude_tools(name)
        async with claude.messages.stream(model="claude/tools", max_tokens=100, tools=tools, messages=said) as stream:
            streamed = await stream.get_final_message()
        whole = await claude.messages.create(model="claude/tools", max_tokens=100, tools=tools, messages=said)
        for answer in (streamed, whole):
            calls = [block for block in answer.content if block.type == "tool_use"]
            assert answer.stop_reason == reason
            assert [call.name for call in calls] == ([WEATHER] if name == WEATHER else [])
            assert all(call.input for call in calls)
            assert any(block.type == "text" and block.text for block in answer.content)


async def test_openai_unstreamed_text_is_edited(gpt: openai.AsyncOpenAI) -> None:
    """A policy's edit reaches the SDK in an unstreamed answer."""
    answer = await gpt.chat.completions.create(model="gpt/text-20", messages=[{"role": "user", "content": "hello"}])
    (choice,) = answer.choices
    assert "<<swapped>>" in (choice.message.content or "")
    assert choice.finish_reason == "stop"
    assert answer.usage is not None


async def test_openai_streamed_text_is_edited_and_usage_comes_last(gpt: openai.AsyncOpenAI) -> None:
    """A policy's edit reaches the SDK's stream; the usage chunk that was asked for is there."""
    stream = await gpt.chat.completions.create(
        model="gpt/text-20",
        messages=[{"role": "user", "content": "hello"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "<<swapped>>" in text
    assert chunks[-1].usage is not None
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]


async def test_openai_tool_calls_pass_or_are_denied(gpt: openai.AsyncOpenAI) -> None:
    """An allowed tool call arrives whole, streamed and not; a denied one becomes text and the turn stops."""
    for name, reason in ((WEATHER, "tool_calls"), ("delete_files", "stop")):
        async with gpt.chat.completions.stream(
            model="gpt/tools", messages=[{"role": "user", "content": "go"}], tools=gpt_tools(name)
        ) as stream:
            streamed = (await stream.get_final_completion()).choices[0]
        whole = (
            await gpt.chat.completions.create(
                model="gpt/tools", messages=[{"role": "user", "content": "go"}], tools=gpt_tools(name)
            )
        ).choices[0]
        for choice in (streamed, whole):
            assert choice.finish_reason == reason
            assert len(choice.message.tool_calls or []) == (name == WEATHER)
            assert choice.message.content


async def test_openai_responses_are_edited_streamed_or_not(gpt: openai.AsyncOpenAI) -> None:
    """A policy's edit is in every place that the SDK reads an answer from."""
    whole = await gpt.responses.create(model="gpt/text-20", input="hello")
    async with gpt.responses.stream(model="gpt/text-20", input="hello") as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    done = [event.text for event in events if event.type == "response.output_text.done"]
    assert "<<swapped>>" in said
    assert "alpha 0 bravo" not in said
    assert [said] == done == [final.output_text] == [whole.output_text]
    assert final.usage is not None
    assert final.usage.output_tokens > 0
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))


async def test_openai_responses_call_tools_or_are_denied(gpt: openai.AsyncOpenAI) -> None:
    """An allowed call arrives whole, streamed and not; a denied one becomes text; what came may be sent back."""
    for name in (WEATHER, "delete_files"):
        tools: list[openai.types.responses.ToolParam] = [
            {"type": "function", "name": name, "parameters": SCHEMA, "strict": False}
        ]
        async with gpt.responses.stream(model="gpt/tools", input="go", tools=tools) as stream:
            streamed = await stream.get_final_response()
        whole = await gpt.responses.create(model="gpt/tools", input="go", tools=tools)
        for answer in (streamed, whole):
            calls = [item for item in answer.output if item.type == "function_call"]
            assert [call.name for call in calls] == ([WEATHER] if name == WEATHER else [])
            assert answer.output_text
            items: list[Any] = [{"role": "user", "content": "go"}, *(item.to_dict() for item in whole.output)]
            items += [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"} for call in calls]
            more = await gpt.responses.create(model="gpt/tools", input=items, tools=tools)
            assert ("sunny" in more.output_text) == bool(calls)


async def test_provider_errors_reach_the_sdks_unchanged(
    claude: anthropic.AsyncAnthropic, gpt: openai.AsyncOpenAI
) -> None:
    """Status, request id and retry-after are the provider's."""
    with pytest.raises(anthropic.RateLimitError) as limited:
        await claude.messages.create(
            model="claude/error-429", max_tokens=10, messages=[{"role": "user", "content": "hello"}]
        )
    assert limited.value.response.headers["retry-after"]
    with pytest.raises(openai.InternalServerError) as failed:
        await gpt.chat.completions.create(model="gpt/error-500", messages=[{"role": "user", "content": "hello"}])
    assert failed.value.response.headers["x-request-id"]


@pytest.mark.parametrize("model", ["cut-5", "reset-5", "error-frame-5"])
async def test_a_stream_of_a_response_that_breaks_raises_in_the_sdk(gpt: openai.AsyncOpenAI, model: str) -> None:
    """A cut answer is never taken for a complete one."""
    with pytest.raises((openai.APIError, httpx2.RemoteProtocolError)):
        async for _ in await gpt.responses.create(model=f"gpt/{model}", input="hello", stream=True):
            pass


@pytest.mark.parametrize("model", ["cut-5", "reset-5", "error-frame-5"])
async def test_a_stream_that_breaks_raises_in_the_sdk(claude: anthropic.AsyncAnthropic, model: str) -> None:
    """A cut answer is never taken for a complete one."""
    with pytest.raises((anthropic.APIError, anthropic.APIConnectionError)):
        async with claude.messages.stream(
            model=f"claude/{model}", max_tokens=100, messages=[{"role": "user", "content": "hello"}]
        ) as stream:
            await stream.get_final_message()
