"""How a responses conversation looks in OpenAI chat form: for reading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luthien_stream.formats.json import dump
from luthien_stream.formats.openai_responses.items import TOOLS
from luthien_stream.formats.openai_responses.parts import SAID, call_id, call_name, call_text, is_result

Json = dict[str, Any]
_FIELDS = ("name", "description", "parameters", "strict", "format")


def chat_messages(instructions: Any, turns: Sequence[Json]) -> list[Json]:
    """Instructions and items as chat messages; calls belong to the assistant's message before them."""
    messages: list[Json] = []
    if isinstance(instructions, str) and instructions:
        messages.append({"role": "system", "content": instructions})
    for item in turns:
        if "role" in item:
            messages.append(_message(item))
        elif item.get("type") in TOOLS:
            if not messages or messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": None})
            messages[-1].setdefault("tool_calls", []).append(_call(item))
        elif is_result(item):
            messages.append({"role": "tool", "tool_call_id": call_id(item), "content": _said(item.get("output"))})
    return messages


def chat_tools(tools: Any) -> list[Json]:
    """Tools as chat functions; a tool of another kind keeps its type."""
    return [_tool(tool) for tool in tools or () if isinstance(tool, dict)]


def _tool(tool: Json) -> Json:
    kind = str(tool.get("type", "unknown"))
    if kind in ("function", "custom"):
        return {"type": kind, kind: {key: tool[key] for key in _FIELDS if key in tool}}
    return {"type": kind, "function": {"name": str(tool.get("name") or kind)}}


def _message(item: Json) -> Json:
    role, content = str(item["role"]), item.get("content")
    if not isinstance(content, list):
        return {"role": role, "content": content or ""}
    if role == "assistant":
        return {"role": role, "content": _said(content)}
    return {"role": role, "content": [_piece(block) for block in content]}


def _piece(block: Json) -> Json:
    if block.get("type") in SAID:
        return {"type": "text", "text": str(block.get("text", ""))}
    if block.get("type") == "input_image" and block.get("image_url"):
        return {"type": "image_url", "image_url": {"url": block["image_url"]}}
    return block


def _call(item: Json) -> Json:
    (_, text), kind = call_text(item), "custom" if item["type"] == "custom_tool_call" else "function"
    said = "input" if kind == "custom" else "arguments"
    return {"id": call_id(item), "type": kind, kind: {"name": call_name(item), said: text}}


def _said(content: Any) -> str:
    """All text of a content or a result."""
    if isinstance(content, str) or content is None:
        return content or ""
    if not isinstance(content, list):
        return dump(content).decode()
    names = ("text", "refusal", "stdout", "stderr")
    return "\n".join(str(one[name]) for one in content for name in names if isinstance(one.get(name), str))
