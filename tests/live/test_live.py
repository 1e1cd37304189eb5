"""Real providers through the gateway. Skipped without keys; costs at most what is printed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest

from luthien_stream.embedded.place import discard_data
from tests.acceptance.gateway import Gateway

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]
CLAUDE = os.environ.get("LIVE_ANTHROPIC_MODEL", "claude-haiku-4-5")
GPT = os.environ.get("LIVE_OPENAI_MODEL", "gpt-5-mini")
MAX_TOKENS = 256
"""Of each answer; reasoning models need some before they say anything."""
PROMPT_TOKENS = 400
"""At most, tools included."""
CALLS = {"ANTHROPIC_API_KEY": 8, "OPENAI_API_KEY": 8}
"""At most, by the key that pays."""
PRICES = {"ANTHROPIC_API_KEY": (1.0, 5.0), "OPENAI_API_KEY": (0.25, 2.0)}
"""Dollars for a million tokens in and out, of the default models when this was written."""
SAY = "Reply with the single word: pong"
CITY: dict[str, object] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def cap(key: str) -> float:
    """Dollars that the calls of one key cost at most."""
    into, out = PRICES[key]
    return CALLS[key] * (PROMPT_TOKENS * into + MAX_TOKENS * out) / 1e6


def needs(key: str) -> str:
    """The key, or the test is skipped."""
    value = os.environ.get(key, "")
    if not value:
        pytest.skip(f"{key} is not set")
    return value


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A gateway before the real providers, with a policy that sees everything and changes nothing."""
    present = [key for key in CALLS if os.environ.get(key)]
    if not present:
        pytest.skip("no key is set")
    total = sum(cap(key) for key in present)
    print(f"\nat most {total:.3f} dollars: {CALLS[present[0]]} calls a key of {MAX_TOKENS} tokens")  # noqa: T201
    providers = {
        "anthropic": {"base_url": "https://api.anthropic.com", "format": "anthropic_messages", "passthrough": True},
        "openai": {
            "base_url": "https://api.openai.com/v1",
            "format": ["openai_chat", "openai_responses"],
            "passthrough": True,
        },
    }
    folder: Path = tmp_path_factory.mktemp("live")
    running = Gateway(folder, "", pipeline=[{"use": "noop"}], providers=providers, database="none")
    asyncio.run(running.start())
    yield running.url
    asyncio.run(running.stop())
    discard_data(running.data)


@pytest.fixture
def claude(gateway: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key=needs("ANTHROPIC_API_KEY"), base_url=gateway, timeout=60) as client:
        yield client


@pytest.fixture
def gpt(gateway: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=needs("OPENAI_API_KEY"), base_url=f"{gateway}/v1", timeout=60) as client:
        yield client


def test_claude_answers(claude: anthropic.Anthropic) -> None:
    """Streamed and not, with the usage and the request id of the vendor."""
    said: list[anthropic.types.MessageParam] = [{"role": "user", "content": SAY}]
    whole = claude.messages.create(model=CLAUDE, max_tokens=MAX_TOKENS, messages=said)
    with claude.messages.stream(model=CLAUDE, max_tokens=MAX_TOKENS, messages=said) as stream:
        streamed = stream.get_final_message()
    for answer in (whole, streamed):
        assert "pong" in "".join(block.text for block in answer.content if block.type == "text").lower()
        assert answer.usage.output_tokens
    assert (whole._request_id or "").startswith("req_")


def test_claude_takes_its_own_turn_back(claude: anthropic.Anthropic) -> None:
    """A tool call goes back verbatim with its result."""
    tools: list[anthropic.types.ToolParam] = [{"name": "weather", "description": "It.", "input_schema": CITY}]
    said: list[anthropic.types.MessageParam] = [{"role": "user", "content": "Weather in Oslo? Use the tool."}]
    with claude.messages.stream(model=CLAUDE, max_tokens=MAX_TOKENS, messages=said, tools=tools) as stream:
        first = stream.get_final_message()
    (call,) = [block for block in first.content if block.type == "tool_use"]
    result: anthropic.types.ToolResultBlockParam = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    said += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = claude.messages.create(model=CLAUDE, max_tokens=MAX_TOKENS, messages=said, tools=tools)
    assert second.stop_reason == "end_turn"


def test_claudes_errors_are_its_own(claude: anthropic.Anthropic) -> None:
    """An unknown model costs nothing."""
    with pytest.raises(anthropic.NotFoundError) as error:
        claude.messages.create(model="claude-no-such", max_tokens=1, messages=[{"role": "user", "content": SAY}])
    assert error.value.response.headers["request-id"].startswith("req_")


def test_gpt_answers_in_chat(gpt: openai.OpenAI) -> None:
    """Streamed and not."""
    said: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": SAY}]
    whole = gpt.chat.completions.create(model=GPT, messages=said, max_completion_tokens=MAX_TOKENS)
    with gpt.chat.completions.stream(model=GPT, messages=said, max_completion_tokens=MAX_TOKENS) as stream:
        streamed = stream.get_final_completion()
    for text in (whole.choices[0].message.content, streamed.choices[0].message.content):
        assert "pong" in (text or "").lower()


def test_gpt_answers_in_responses(gpt: openai.OpenAI) -> None:
    """Streamed and not; nothing is kept by the vendor."""
    whole = gpt.responses.create(model=GPT, input=SAY, max_output_tokens=MAX_TOKENS, store=False)
    with gpt.responses.stream(model=GPT, input=SAY, max_output_tokens=MAX_TOKENS, store=False) as stream:
        streamed = stream.get_final_response()
    assert "pong" in whole.output_text.lower()
    assert "pong" in streamed.output_text.lower()


def test_gpts_errors_are_its_own(gpt: openai.OpenAI) -> None:
    """An unknown model costs nothing."""
    with pytest.raises(openai.NotFoundError) as error:
        gpt.chat.completions.create(model="gpt-no-such", messages=[{"role": "user", "content": SAY}])
    assert error.value.code == "model_not_found"
