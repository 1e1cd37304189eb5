"""Unstreamed answers that say the same as the streams of the scenarios, and a few that only bodies can say."""

from __future__ import annotations

import json
from typing import Any

from luthien_stream.core.sse import data_of

Json = dict[str, Any]


def _loads(frames: list[bytes]) -> list[Json]:
    found = [data_of(raw) for raw in frames]
    return [json.loads(data) for data in found if data and data.strip() not in (b"", b"[DONE]")]


def message_of(frames: list[bytes]) -> bytes:
    """The body that Anthropic would have sent instead of a stream."""
    body: Json = {}
    blocks: list[Json] = []
    for event in _loads(frames):
        match event["type"]:
            case "message_start":
                body = event["message"]
            case "content_block_start":
                blocks.append(event["content_block"])
            case "content_block_delta":
                _grow(blocks[-1], event["delta"])
            case "message_delta":
                body = {**body, **event["delta"], "usage": {**body.get("usage", {}), **event.get("usage", {})}}
    for block in blocks:
        if "json" in block:
            block["input"] = json.loads(block.pop("json") or "{}")
    return json.dumps({**body, "content": blocks}, ensure_ascii=True).encode()


def _grow(block: Json, delta: Json) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] += delta["signature"]
        case "input_json_delta":
            block["json"] = block.get("json", "") + delta["partial_json"]
        case "citations_delta":
            block.setdefault("citations", []).append(delta["citation"])


def completion_of(frames: list[bytes]) -> bytes:
    """The body that OpenAI would have sent instead of a stream."""
    message: Json = {"role": "assistant", "content": None, "refusal": None}
    body: Json = {}
    finish, usage = None, None
    calls: dict[int, Json] = {}
    for chunk in _loads(frames):
        usage = chunk.get("usage") or usage
        for choice in chunk.get("choices", ()):
            body = body or {
                key: value for key, value in chunk.items() if key not in ("choices", "obfuscation", "usage")
            }
            finish = finish or choice.get("finish_reason")
            _merge(message, calls, choice["delta"])
    if calls:
        message["tool_calls"] = [
            {key: value for key, value in call.items() if key != "index"} for call in calls.values()
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    return json.dumps({**body, "object": "chat.completion", "choices": [choice], "usage": usage}).encode()


def response_of(frames: list[bytes]) -> bytes:
    """The body that OpenAI would have sent instead of a stream of a response."""
    events = _loads(frames)
    output = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    ended = next(event["response"] for event in reversed(events) if "response" in event)
    return json.dumps({**ended, "output": output}).encode()


def _merge(message: Json, calls: dict[int, Json], delta: Json) -> None:
    for name in ("content", "refusal", "reasoning_content", "reasoning"):
        if delta.get(name):
            message[name] = (message.get(name) or "") + delta[name]
    for piece in delta.get("tool_calls") or ():
        call = calls.setdefault(piece["index"], {})
        for name, value in piece.items():
            call[name] = _joined(call.get(name), value) if isinstance(value, dict) else value
    if legacy := delta.get("function_call"):
        message["function_call"] = _joined(message.get("function_call"), legacy)


def _joined(known: Json | None, piece: Json) -> Json:
    return {name: (known or {}).get(name, "") + (piece.get(name) or "") for name in {**(known or {}), **piece}}
