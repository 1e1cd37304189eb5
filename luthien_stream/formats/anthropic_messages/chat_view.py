"""How an Anthropic conversation looks in OpenAI chat form: for reading; a user turn may be several messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luthien_stream.formats.json import dump

Json = dict[str, Any]


def chat_messages(system: Any, turns: Sequence[Json]) -> list[Json]:
    """System text and turns as chat messages."""
    messages: list[Json] = []
    if system:
        messages.append({"role": "system", "content": _text(system)})
    for turn in turns:
        messages.extend(_assistant(turn) if turn.get("role") == "assistant" else _user(turn))
    return messages


def chat_tools(tools: Any) -> list[Json]:
    """Tools as chat functions; a server-side tool keeps its type."""
    return [_tool(tool) for tool in tools or () if isinstance(tool, dict)]


def _tool(tool: Json) -> Json:
    if "input_schema" not in tool:
        return {"type": tool.get("type", "unknown"), "function": {"name": tool.get("name", "")}}
    function = {"name": tool.get("name", ""), "parameters": tool["input_schema"]}
    if "description" in tool:
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


def _assistant(turn: Json) -> list[Json]:
    content = turn.get("content")
    message: Json = {"role": "assistant", "content": _text(content) or None}
    calls = [_call(block) for block in _blocks(content) if block.get("type") == "tool_use"]
    if calls:
        message["tool_calls"] = calls
    return [message]


def _call(block: Json) -> Json:
    function = {"name": block.get("name", ""), "arguments": dump(block.get("input", {})).decode()}
    return {"id": block.get("id", ""), "type": "function", "function": function}


def _user(turn: Json) -> list[Json]:
    content = turn.get("content")
    if not isinstance(content, list):
        return [{"role": str(turn.get("role")), "content": content or ""}]
    results = [
        {"role": "tool", "tool_call_id": block.get("tool_use_id", ""), "content": _text(block.get("content"))}
        for block in content
        if block.get("type") == "tool_result"
    ]
    rest = [_piece(block) for block in content if block.get("type") != "tool_result"]
    return [*results, *([{"role": str(turn.get("role")), "content": rest}] if rest else [])]


def _piece(block: Json) -> Json:
    source = block.get("source")
    if block.get("type") == "image" and isinstance(source, dict):
        url = source.get("url") or f"data:{source.get('media_type', '')};base64,{source.get('data', '')}"
        return {"type": "image_url", "image_url": {"url": url}}
    return block


def _blocks(content: Any) -> list[Json]:
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(block.get("text", "")) for block in _blocks(content) if block.get("type") == "text")
