"""The pieces of a chat conversation, each with the path by which it is edited."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from luthien_stream.core.lens import RequestPart

Path = tuple[str | int, ...]
Names = dict[str, str]


def turn_parts(turn: dict[str, Any], path: Path, new: bool, names: Names) -> Iterator[RequestPart]:
    """The parts of one message. `names` collects the names of tool calls by their id."""
    role = str(turn.get("role"))
    if isinstance(thought := turn.get("reasoning_content"), str):
        yield RequestPart(role, "thinking", thought, path=(*path, "reasoning_content"), new=new)
    if role in ("tool", "function"):
        yield from _result_parts(turn, (*path, "content"), new, names)
    else:
        yield from _content_parts(role, turn.get("content"), (*path, "content"), new)
    for position, call in enumerate(turn.get("tool_calls") or ()):
        yield from _call_parts(role, call, (*path, "tool_calls", position), new, names)
    if isinstance(legacy := turn.get("function_call"), dict):
        name, text = str(legacy.get("name", "")), str(legacy.get("arguments", ""))
        yield RequestPart(role, "tool_call", text, name, path=(*path, "function_call", "arguments"), new=new)


def _result_parts(turn: dict[str, Any], path: Path, new: bool, names: Names) -> Iterator[RequestPart]:
    id = str(turn.get("tool_call_id", ""))
    name = str(turn.get("name") or names.get(id, ""))
    for part in _content_parts("tool", turn.get("content"), path, new):
        kind = "tool_result" if part.kind == "text" else part.kind
        yield RequestPart("tool", kind, part.text, name, id, part.path, new)


def _content_parts(role: str, content: Any, path: Path, new: bool) -> Iterator[RequestPart]:
    if isinstance(content, str):
        yield RequestPart(role, "text", content, path=path, new=new)
        return
    for position, block in enumerate(content or ()):
        at = (*path, position)
        match block.get("type"):
            case "text" | "refusal" as kind:
                yield RequestPart(role, "text", str(block.get(kind, "")), path=(*at, kind), new=new)
            case "image_url":
                yield RequestPart(role, "image", "", path=at, new=new)
            case kind:
                yield RequestPart(role, "other", "", str(kind), path=at, new=new)


def _call_parts(role: str, call: dict[str, Any], path: Path, new: bool, names: Names) -> Iterator[RequestPart]:
    id, kind = str(call.get("id", "")), "custom" if isinstance(call.get("custom"), dict) else "function"
    inner = call.get(kind)
    if isinstance(inner, dict):
        names[id] = str(inner.get("name", ""))
        said = "input" if kind == "custom" else "arguments"
        yield RequestPart(role, "tool_call", str(inner.get(said, "")), names[id], id, (*path, kind, said), new)
