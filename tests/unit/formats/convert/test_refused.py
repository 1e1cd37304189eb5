"""What cannot be carried over is refused by name, and hints that change nothing are left out: never anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from luthien_stream.formats.convert import Conversion
from luthien_stream.formats.errors import RequestError
from tests.unit.formats.convert.pairs import ANTHROPIC, CHAT, CLAUDE, FORMATS, HELLO, RESPONSES, model_for, sent

_DOCUMENT = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}}
_CITED = {"type": "document", "source": {"type": "url", "url": "u"}, "citations": {"enabled": True}}
_URL_PDF = {"type": "document", "source": {"type": "url", "url": "https://a"}}

_BROKEN_CALL = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "\ud800"}


def _says(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(blocks)}]}


REFUSED: list[tuple[str, tuple[str, ...], dict[str, Any], str]] = [
    *[
        (ANTHROPIC, (CHAT, RESPONSES), more, param)
        for more, param in (
            ({"brand_new": 1}, "brand_new"),
            ({"container": "c"}, "container"),
            ({"mcp_servers": [{}]}, "mcp_servers"),
            ({"inference_geo": "eu"}, "inference_geo"),
            ({"thread": {"id": "t"}}, "thread"),
            ({"fallbacks": []}, "fallbacks"),
            ({"metadata": {"user_id": "u", "team": "t"}}, "metadata.team"),
            ({"output_config": {"task_budget": {}}}, "output_config.task_budget"),
            ({"output_config": {"effort": "wild"}}, "output_config.effort"),
            ({"thinking": {"type": "odd"}}, "thinking.type"),
            ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
            ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0].type"),
            ({"tools": [{"name": "f", "input_examples": [{}]}]}, "tools[0].input_examples"),
            (_says({"type": "text", "text": "a"}, {"type": "search_result"}), "messages[0].content[1]"),
            (_says(_DOCUMENT), "messages[0].content[0].source.type"),
            (_says(_CITED), "messages[0].content[0].citations.enabled"),
            (_says({"type": "text", "text": "a", "brand_new": 1}), "messages[0].content[0].brand_new"),
            (_says({"type": "text", "text": "It is"}, role="assistant"), "messages[0]"),
            (_says({"type": "server_tool_use"}, role="assistant"), "messages[0].content[0]"),
        )
    ],
    (RESPONSES, (ANTHROPIC,), {"input": [_BROKEN_CALL]}, "input[0]"),
    (ANTHROPIC, (CHAT,), _says(_URL_PDF), "messages[0].content[0]"),
    (ANTHROPIC, (RESPONSES,), {"stop_sequences": ["x"]}, "stop_sequences"),
    (ANTHROPIC, (RESPONSES,), {"top_k": 5}, "top_k"),
    *[
        (CHAT, (ANTHROPIC, RESPONSES), more, param)
        for more, param in (
            ({"brand_new": 1}, "brand_new"),
            ({"n": 2}, "n"),
            ({"logprobs": True}, "logprobs"),
            ({"top_logprobs": 2}, "top_logprobs"),
            ({"seed": 1}, "seed"),
            ({"frequency_penalty": 0.1}, "frequency_penalty"),
            ({"presence_penalty": 0.1}, "presence_penalty"),
            ({"logit_bias": {"1": 2}}, "logit_bias"),
            ({"modalities": ["text", "audio"]}, "modalities"),
            ({"audio": {"voice": "a"}}, "audio"),
            ({"web_search_options": {}}, "web_search_options"),
            ({"functions": [{"name": "f"}]}, "functions"),
            ({"moderation": {}}, "moderation"),
            ({"tools": [{"type": "odd"}]}, "tools[0].type"),
            ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.type"),
            ({"response_format": {"type": "odd"}}, "response_format.type"),
            (_says({"type": "input_audio", "input_audio": {}}), "messages[0].content[0]"),
            (_says({"type": "file", "file": {"file_id": "f"}}), "messages[0].content[0].file.file_id"),
            ({"messages": [{"role": "user", "content": "a", "name": "Bob"}]}, "messages[0].name"),
            ({"messages": [{"role": "assistant", "content": "a", "audio": {"id": "a"}}]}, "messages[0].audio"),
            ({"messages": [{"role": "function", "content": "a"}]}, "messages[0].role"),
        )
    ],
    (CHAT, (RESPONSES,), {"stop": "x"}, "stop"),
    (CHAT, (ANTHROPIC,), {"temperature": 1.5}, "temperature"),
    (CHAT, (ANTHROPIC,), {"service_tier": "flex"}, "service_tier"),
    (CHAT, (ANTHROPIC,), {"response_format": {"type": "json_object"}}, "response_format"),
    (CHAT, (ANTHROPIC,), {"messages": [{"role": "assistant", "content": "It is"}]}, "messages[0]"),
    *[
        (RESPONSES, (ANTHROPIC, CHAT), more, param)
        for more, param in (
            ({"brand_new": 1}, "brand_new"),
            ({"previous_response_id": "resp_1"}, "previous_response_id"),
            ({"conversation": "c"}, "conversation"),
            ({"prompt": {"id": "p"}}, "prompt"),
            ({"background": True}, "background"),
            ({"truncation": "auto"}, "truncation"),
            ({"top_logprobs": 2}, "top_logprobs"),
            ({"include": ["message.output_text.logprobs"]}, "include"),
            ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
            ({"text": {"format": {"type": "odd"}}}, "text.format.type"),
            ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
            ({"tools": [{"type": "image_generation"}]}, "tools[0].type"),
            ({"tools": [{"type": "mcp", "server_label": "a"}]}, "tools[0].type"),
            ({"input": [{"type": "item_reference", "id": "i"}]}, "input[0]"),
            ({"input": [{"type": "web_search_call", "id": "i"}]}, "input[0]"),
            ({"input": [{"type": "compaction", "id": "i"}]}, "input[0]"),
            ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0]"),
            (
                {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
                "input[0].content[0].file_id",
            ),
        )
    ],
    (RESPONSES, (ANTHROPIC,), {"text": {"format": {"type": "json_object"}}}, "text.format"),
]
CASES = [(client, provider, more, param) for client, targets, more, param in REFUSED for provider in targets]


@pytest.mark.parametrize(("client", "provider", "more", "param"), CASES, ids=lambda case: str(case)[:60])
def test_it_is_refused_by_name(client: str, provider: str, more: dict[str, Any], param: str) -> None:
    """With the client's own name for the field, and what to do."""
    body = json.dumps({**HELLO[client], **more}).encode()
    with pytest.raises(RequestError) as refusal:
        Conversion(client, provider).request(body, model_for(provider))
    assert refusal.value.param == param
    assert f"`{param}`" in str(refusal.value)


MISSHAPEN: list[tuple[str, dict[str, Any], str]] = [
    (ANTHROPIC, {"messages": {}}, "messages"),
    (ANTHROPIC, {"messages": ["a"]}, "messages[0]"),
    (ANTHROPIC, {"messages": [{"role": "robot", "content": "a"}]}, "messages[0].role"),
    (ANTHROPIC, {"max_tokens": "many"}, "max_tokens"),
    (ANTHROPIC, {"tools": [{"input_schema": {}}]}, "tools[0].name"),
    (ANTHROPIC, {"system": 5}, "system"),
    (CHAT, {"messages": [{"content": "a"}]}, "messages[0].role"),
    (CHAT, {"temperature": True}, "temperature"),
    (CHAT, {"stream": "yes"}, "stream"),
    (CHAT, {"stop": [1]}, "stop"),
    (CHAT, {"tools": [{"type": "function"}]}, "tools[0].function"),
    (CHAT, _says({"type": "image_url", "image_url": {"url": "data:image/png,x"}}), "messages[0].content[0]"),
    (RESPONSES, {"input": 5}, "input"),
    (RESPONSES, {"input": [{"type": "function_call", "call_id": "c"}]}, "input[0].name"),
]


@pytest.mark.parametrize(("client", "more", "param"), MISSHAPEN, ids=lambda case: str(case)[:60])
def test_what_has_the_wrong_type_is_named(client: str, more: dict[str, Any], param: str) -> None:
    """As the provider would, in the client's words."""
    provider = RESPONSES if client != RESPONSES else CHAT
    body = json.dumps({**HELLO[client], **more}).encode()
    with pytest.raises(RequestError) as refusal:
        Conversion(client, provider).request(body, "gpt-5")
    assert refusal.value.param == param


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff"])
@pytest.mark.parametrize("client", FORMATS)
def test_what_is_no_object_is_refused(client: str, body: bytes) -> None:
    """Also where the edge would have found it before."""
    with pytest.raises(RequestError):
        Conversion(client, CHAT if client != CHAT else RESPONSES).request(body, "m")


HINTS: list[tuple[str, dict[str, Any]]] = [
    (ANTHROPIC, {"cache_control": {"type": "ephemeral"}, "speed": "fast", "context_management": {"edits": []}}),
    (ANTHROPIC, {"tools": [{"name": "f", "cache_control": {}, "eager_input_streaming": True, "type": "custom"}]}),
    (ANTHROPIC, {"system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}),
    (CHAT, {"store": True, "prediction": {"type": "content"}, "n": 1, "logprobs": False, "logit_bias": {}}),
    (CHAT, {"modalities": ["text"], "stream_options": {"include_obfuscation": False}, "seed": None}),
    (RESPONSES, {"store": True, "client_metadata": {}, "max_tool_calls": 3, "truncation": "disabled"}),
    (RESPONSES, {"include": ["reasoning.encrypted_content"], "background": False, "previous_response_id": None}),
]


@pytest.mark.parametrize(("client", "more"), HINTS)
def test_hints_are_left_out(client: str, more: dict[str, Any]) -> None:
    """What changes no answer does not stand in the way of one."""
    for provider in FORMATS:
        if provider != client:
            found = sent(client, provider, {**HELLO[client], **more})
            assert not (set(more) - {"tools", "store", "stream_options", "system"}) & set(found)


def test_labels_of_openai_stay_between_its_formats() -> None:
    """They say what is kept, and under which name: Anthropic has no words for that."""
    labels = {"metadata": {"a": "b"}, "prompt_cache_key": "k", "safety_identifier": "s"}
    assert labels.items() <= sent(CHAT, RESPONSES, HELLO[CHAT] | labels).items()
    assert labels.items() <= sent(RESPONSES, CHAT, HELLO[RESPONSES] | labels).items()
    found = sent(CHAT, ANTHROPIC, HELLO[CHAT] | labels, CLAUDE)
    assert found["metadata"] == {"user_id": "s"}
    assert found["cache_control"] == {"type": "ephemeral"}


@pytest.mark.parametrize("live", [True, False])
def test_the_search_that_codex_always_offers_is_left_out_on_record(live: bool) -> None:
    """It cannot be given, nobody asked for it, and every request of Codex would be refused for it."""
    search = {"type": "web_search", "external_web_access": live}
    conversion = Conversion(RESPONSES, CHAT)
    body = json.dumps({**HELLO[RESPONSES], "tools": [search]}).encode()
    assert "tools" not in json.loads(conversion.request(body, "m"))
    assert [note.rule for note in conversion.notes()] == ["left_out"]
