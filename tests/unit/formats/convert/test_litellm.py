"""Our conversions beside those of LiteLLM, on generated conversations: equal, but for what `docs/conversion.md` lists.

Each difference has a test of its own that holds both sides, so that a new LiteLLM is noticed.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from luthien_stream.formats.errors import RequestError
from tests.unit.formats.convert.judge import ConvertJudges
from tests.unit.formats.convert.litellm_adapters import MODEL, Adapters
from tests.unit.formats.convert.pairs import ANTHROPIC, CHAT, HELLO, RESPONSES, begun, model_for, sent
from tests.unit.formats.convert.rich import PDF, PNG
from tests.unit.formats.convert.test_answers import BODIES
from tests.unit.formats.convert.test_properties import conversations

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore")]
USER: dict[str, Any] = {"role": "user", "content": "a"}


def chat_meaning(request: Any) -> list[Any]:
    """What the messages of a chat say, however content is spelled."""
    said = []
    for message in request["messages"]:
        calls = [call["function"] for call in message.get("tool_calls") or ()]
        read = [(call["name"], json.loads(call["arguments"] or "{}")) for call in calls]
        content = _parts(message.get("content"))
        said.append((message["role"], message.get("tool_call_id"), content, read))
    return said


def _parts(content: Any) -> list[Any]:
    parts: list[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
    return [part.get("text") or part.get("image_url", {}).get("url") for part in parts]


def message_meaning(request: Any) -> list[Any]:
    """What Anthropic's messages say, however content is spelled."""
    said = []
    for message in request["messages"]:
        blocks = message["content"]
        blocks = [{"type": "text", "text": blocks}] if isinstance(blocks, str) else blocks
        for block in blocks:
            inner = block.get("content")
            texts = inner if isinstance(inner, str) else [part.get("text") for part in inner or ()]
            result = texts if isinstance(texts, str) else "".join(texts)
            rest = {
                name: block[name] for name in ("text", "id", "tool_use_id", "name", "input", "source") if name in block
            }
            said.append((message["role"], block["type"], result, rest))
    return said


GENERATED = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(request=conversations())
@GENERATED
def test_messages_for_chat_say_the_same(adapters: Adapters, request: dict[str, Any]) -> None:
    """Anthropic's client, a chat provider."""
    assert chat_meaning(sent(ANTHROPIC, CHAT, request)) == chat_meaning(adapters.chat_of_messages(request))


@given(request=conversations())
@GENERATED
def test_chat_for_anthropic_says_the_same(adapters: Adapters, request: dict[str, Any]) -> None:
    """A chat client, Anthropic as provider; LiteLLM takes white space off the end of texts, and says what is empty."""
    chat = sent(ANTHROPIC, CHAT, request)
    ours = message_meaning(sent(CHAT, ANTHROPIC, chat, MODEL))
    assert ours == message_meaning(adapters.messages_of_chat(chat))


@given(request=conversations())
@GENERATED
def test_responses_for_chat_say_the_same(adapters: Adapters, request: dict[str, Any]) -> None:
    """A client of Responses, a chat provider."""
    items = sent(ANTHROPIC, RESPONSES, request)
    assert chat_meaning(sent(RESPONSES, CHAT, items)) == chat_meaning(adapters.chat_of_responses(items))


_USAGE = {
    ANTHROPIC: {"input_tokens": 25, "cache_read_input_tokens": 7, "output_tokens": 15},
    CHAT: {
        "prompt_tokens": 32,
        "completion_tokens": 15,
        "total_tokens": 47,
        "prompt_tokens_details": {"cached_tokens": 7},
        "completion_tokens_details": {"reasoning_tokens": 0},
    },
}
_OTHERWISE = {
    (CHAT, ANTHROPIC, "empty thinking"),  # kept without text or signature, which Anthropic refuses in the next turn
    (CHAT, ANTHROPIC, "interleaved"),  # a call that the provider itself made and answered is given to the client
    (CHAT, ANTHROPIC, "spaced"),  # an answer without a model raises
    (RESPONSES, CHAT, "reasoning"),  # the item has `content` of a message, and no `summary`
    (RESPONSES, CHAT, "refusal"),  # the refusal is lost
    (ANTHROPIC, CHAT, "stop with a tool"),  # `end_turn`: the client does not run the tool
    (ANTHROPIC, CHAT, "tool_calls without a tool"),  # `tool_use`: the client waits for a tool that is not there
}
"""What LiteLLM gives another way, by client, provider and scenario."""
ANSWERS = [
    (client, provider, name)
    for provider, name in BODIES
    for client in {ANTHROPIC: [CHAT], CHAT: [ANTHROPIC, RESPONSES]}.get(provider, [])
    if (client, provider, name) not in _OTHERWISE
]


@pytest.mark.parametrize(("client", "provider", "name"), ANSWERS)
def test_answers_say_the_same(
    client: str, provider: str, name: str, adapters: Adapters, convert_judges: ConvertJudges
) -> None:
    """To the vendor's SDK. Thoughts that no provider signed have no signature in LiteLLM's answers, a tag in ours."""
    ours, theirs = _answers(client, provider, name, adapters, convert_judges)
    if "reasoning" in name:
        theirs["thoughts"] = ours["thoughts"]
    assert ours == theirs


@pytest.mark.parametrize(("client", "provider", "name"), sorted(_OTHERWISE))
def test_these_answers_differ(
    client: str, provider: str, name: str, adapters: Adapters, convert_judges: ConvertJudges
) -> None:
    """As `docs/conversion.md` says; if they are equal one day, the list there is too long."""
    try:
        ours, theirs = _answers(client, provider, name, adapters, convert_judges)
    except (KeyError, TypeError):
        return
    assert ours != theirs


def _answers(client: str, provider: str, name: str, adapters: Adapters, judges: ConvertJudges) -> tuple[Any, Any]:
    body = json.loads(BODIES[provider, name]) | {"usage": _USAGE[provider]}
    ours = judges.body(client, begun(client, provider).body(json.dumps(body).encode()))
    return ours, judges.body(client, adapters.answer(client, provider, body))


def _messages(*messages: Any, **more: Any) -> dict[str, Any]:
    return {**HELLO[ANTHROPIC], "messages": [USER, *messages], **more}


def _chat(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [USER, *messages], **more}


_CALLED = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]}
_SHOWN = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [PNG[ANTHROPIC]]}]}
_THOUGHT = [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "b"}]
_OPEN = {"type": "object", "properties": {"a": {}}, "additionalProperties": False}
_CALL = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
_PAST = (
    {"role": "assistant", "content": None, "tool_calls": [_CALL]},
    {"role": "tool", "tool_call_id": "t", "content": "r"},
)
DIFFERENT: list[tuple[str, str, dict[str, Any], str, Any, Any]] = [
    (ANTHROPIC, CHAT, _messages(max_tokens=9), "max_completion_tokens", 9, None),
    (ANTHROPIC, CHAT, _messages(service_tier="standard_only"), "service_tier", "default", "standard_only"),
    (ANTHROPIC, CHAT, _messages(output_config={"effort": "high"}), "reasoning_effort", "high", None),
    (
        ANTHROPIC,
        CHAT,
        _messages(
            tools=[{"name": "f", "input_schema": {}}], tool_choice={"type": "auto", "disable_parallel_tool_use": True}
        ),
        "parallel_tool_calls",
        False,
        None,
    ),
    (
        ANTHROPIC,
        CHAT,
        _messages({"role": "user", "content": [PDF[ANTHROPIC]]}),
        "messages.1.content.0.type",
        "file",
        "image_url",
    ),
    (ANTHROPIC, CHAT, _messages(_CALLED, _SHOWN), "messages.2.content", "[Shown in the next message.]", [PNG[CHAT]]),
    (ANTHROPIC, CHAT, _messages({"role": "system", "content": "S"}), "messages.1.role", "system", "user"),
    (
        ANTHROPIC,
        CHAT,
        _messages({"role": "assistant", "content": _THOUGHT}, USER),
        "messages.1.thinking_blocks",
        None,
        _THOUGHT[:1],
    ),
    (
        ANTHROPIC,
        CHAT,
        _messages(output_config={"format": {"type": "json_schema", "schema": _OPEN}}),
        "response_format.json_schema.schema.required",
        None,
        ["a"],
    ),
    (CHAT, ANTHROPIC, _chat(), "max_tokens", 32_000, 128_000),
    (CHAT, ANTHROPIC, _chat(service_tier="default"), "service_tier", "standard_only", None),
    (CHAT, ANTHROPIC, _chat(*_PAST), "tools.0.name", "f", "dummy_tool"),
    (
        CHAT,
        ANTHROPIC,
        _chat(*_PAST, reasoning_effort="high"),
        "thinking",
        None,
        {"type": "adaptive", "display": "summarized"},
    ),
    (RESPONSES, CHAT, {"model": "m", "input": "a", "service_tier": "flex"}, "service_tier", "flex", None),
    (RESPONSES, CHAT, {"model": "m", "input": "a", "text": {"verbosity": "low"}}, "verbosity", "low", None),
    (RESPONSES, CHAT, {"model": "m", "input": "a", "prompt_cache_key": "k"}, "prompt_cache_key", "k", None),
    (
        RESPONSES,
        CHAT,
        {"model": "m", "input": "a", "tools": [{"type": "local_shell"}]},
        "tools.0.function.name",
        "local_shell",
        None,
    ),
]
"""Client, provider, request, the field in question, ours, LiteLLM's."""


@pytest.mark.parametrize(("client", "provider", "request_", "field", "ours", "theirs"), DIFFERENT)
def test_these_requests_differ(
    client: str, provider: str, request_: dict[str, Any], field: str, ours: Any, theirs: Any, adapters: Adapters
) -> None:
    """As `docs/conversion.md` says, with which side is right."""
    model = MODEL if provider == ANTHROPIC else model_for(provider)
    assert _at(sent(client, provider, request_, model), field) == ours
    assert _at(adapters.request(client, provider, request_), field) == theirs


REFUSED: list[tuple[str, str, dict[str, Any], str]] = [
    (ANTHROPIC, CHAT, _messages(brand_new=1), "brand_new"),
    (ANTHROPIC, CHAT, _messages({"role": "assistant", "content": "It is"}), "messages[1]"),
    (ANTHROPIC, CHAT, _messages({"role": "user", "content": [{"type": "search_result"}]}), "messages[1].content[0]"),
    (CHAT, ANTHROPIC, _chat(temperature=1.5), "temperature"),
    (CHAT, ANTHROPIC, _chat(frequency_penalty=0.3), "frequency_penalty"),
    (CHAT, ANTHROPIC, _chat(seed=1), "seed"),
    (CHAT, ANTHROPIC, _chat(response_format={"type": "json_object"}), "response_format"),
    (CHAT, ANTHROPIC, _chat({"role": "user", "content": "a", "name": "Bob"}), "messages[1].name"),
    (CHAT, ANTHROPIC, _chat({"role": "assistant", "content": "It is"}), "messages[1]"),
    (RESPONSES, CHAT, {"model": "m", "input": "a", "brand_new": 1}, "brand_new"),
    (RESPONSES, CHAT, {"model": "m", "input": "a", "truncation": "auto"}, "truncation"),
    (RESPONSES, CHAT, {"model": "m", "input": [{**USER}, {"type": "item_reference", "id": "i"}]}, "input[1]"),
]


@pytest.mark.parametrize(("client", "provider", "request_", "param"), REFUSED)
def test_litellm_does_not_refuse_these(
    client: str, provider: str, request_: dict[str, Any], param: str, adapters: Adapters
) -> None:
    """It drops the field, or sends it on as it is."""
    with pytest.raises(RequestError) as refusal:
        sent(client, provider, request_, MODEL)
    assert refusal.value.param == param
    assert adapters.request(client, provider, request_)


def _at(request: Any, path: str) -> Any:
    """What is at a path; None if nothing is."""
    for step in path.split("."):
        if isinstance(request, list):
            request = request[int(step)] if int(step) < len(request) else None
        else:
            request = request.get(step) if isinstance(request, dict) else None
    return request
