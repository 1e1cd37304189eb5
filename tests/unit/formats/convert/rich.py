"""One conversation with all that the three formats share, in the words of each."""

from __future__ import annotations

from typing import Any

from tests.unit.formats.convert.pairs import ANTHROPIC, CHAT, CLAUDE, GPT, RESPONSES

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
_DATA = "iVBORw0KGgo="
PNG: dict[str, Any] = {
    ANTHROPIC: {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _DATA}},
    CHAT: {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_DATA}"}},
    RESPONSES: {"type": "input_image", "image_url": f"data:image/png;base64,{_DATA}", "detail": "auto"},
}
_URL = "https://example.org/a.png"
WEB: dict[str, Any] = {
    ANTHROPIC: {"type": "image", "source": {"type": "url", "url": _URL}},
    CHAT: {"type": "image_url", "image_url": {"url": _URL}},
    RESPONSES: {"type": "input_image", "image_url": _URL, "detail": "auto"},
}
PDF: dict[str, Any] = {
    ANTHROPIC: {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
        "title": "a.pdf",
    },
    CHAT: {
        "type": "file",
        "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
    },
    RESPONSES: {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
}
_ARGUMENTS = '{"city":"Paris"}'


def _blocks(format: str, kind: str, *parts: Any) -> list[Any]:
    return [{"type": kind, "text": part} if isinstance(part, str) else part[format] for part in parts]


_TOOL = {"name": "weather", "description": "The weather.", "strict": True}
RICH: dict[str, dict[str, Any]] = {
    ANTHROPIC: {
        "model": CLAUDE,
        "max_tokens": 4096,
        "system": _blocks(ANTHROPIC, "text", "Be brief.", "Use tools."),
        "messages": [
            {"role": "user", "content": _blocks(ANTHROPIC, "text", "Look at this.", PNG, "And this.", WEB, PDF)},
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Paris"}},
                    {"type": "tool_use", "id": "call_2", "name": "weather", "input": {"city": "Paris"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "sunny"}]},
                    {"type": "tool_result", "tool_use_id": "call_2", "content": [{"type": "text", "text": "rain"}]},
                    {"type": "text", "text": "Well?"},
                ],
            },
        ],
        "tools": [{**_TOOL, "input_schema": SCHEMA}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "temperature": 0.5,
        "top_p": 0.9,
        "metadata": {"user_id": "u1"},
        "service_tier": "standard_only",
        "stream": True,
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}},
    },
    CHAT: {
        "model": GPT,
        "max_completion_tokens": 4096,
        "messages": [
            {"role": "system", "content": "Be brief.\n\nUse tools."},
            {"role": "user", "content": _blocks(CHAT, "text", "Look at this.", PNG, "And this.", WEB, PDF)},
            {
                "role": "assistant",
                "content": "I look.",
                "tool_calls": [
                    {"id": id, "type": "function", "function": {"name": "weather", "arguments": _ARGUMENTS}}
                    for id in ("call_1", "call_2")
                ],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
            {"role": "tool", "tool_call_id": "call_2", "content": "rain"},
            {"role": "user", "content": "Well?"},
        ],
        "tools": [{"type": "function", "function": {**_TOOL, "parameters": SCHEMA}}],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "temperature": 0.5,
        "top_p": 0.9,
        "user": "u1",
        "service_tier": "default",
        "stream": True,
        "stream_options": {"include_usage": True},
        "reasoning_effort": "high",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
        },
    },
    RESPONSES: {
        "model": GPT,
        "max_output_tokens": 4096,
        "instructions": "Be brief.\n\nUse tools.",
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": _blocks(RESPONSES, "input_text", "Look at this.", PNG, "And this.", WEB, PDF),
            },
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "I look.", "annotations": []}],
            },
            *[
                {"type": "function_call", "call_id": id, "name": "weather", "arguments": _ARGUMENTS}
                for id in ("call_1", "call_2")
            ],
            {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
            {"type": "function_call_output", "call_id": "call_2", "output": "rain"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Well?"}]},
        ],
        "tools": [{"type": "function", **_TOOL, "parameters": SCHEMA}],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "temperature": 0.5,
        "top_p": 0.9,
        "user": "u1",
        "service_tier": "default",
        "store": False,
        "stream": True,
        "reasoning": {"effort": "high"},
        "include": ["reasoning.encrypted_content"],
        "text": {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}},
    },
}
