"""The pieces of an Anthropic conversation, each with the path by which it is edited."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from luthien_stream.core.lens import RequestPart
from luthien_stream.formats.json import dump

Path = tuple[str | int, ...]
Names = dict[str, str]


def system_parts(system: Any, new: bool) -> Iterator[RequestPart]:
    """The parts of the `system` field."""
    if isinstance(system, str):
        yield RequestPart("system", "text", system, path=("system",), new=new)
    for position, block in enumerate(system if isinstance(system, list) else ()):
        yield RequestPart("system", "text", _text(block), path=("system", position, "text"), new=new)


def turn_parts(turn: dict[str, Any], path: Path, new: bool, names: Names) -> Iterator[RequestPart]:
    """The parts of one message. `names` collects the names of tool calls by their id."""
    role, content = str(turn.get("role")), turn.get("content")
    if isinstance(content, str):
        yield RequestPart(role, "text", content, path=path, new=new)
        return
    for position, block in enumerate(content or ()):
        yield from _block_parts(role, block, (*path, position), new, names)


def _block_parts(role: str, block: dict[str, Any], path: Path, new: bool, names: Names) -> Iterator[RequestPart]:
    match block.get("type"):
        case "text":
            yield RequestPart(role, "text", _text(block), path=(*path, "text"), new=new)
        case "tool_use":
            id, name = str(block.get("id", "")), str(block.get("name", ""))
            names[id] = name
            text = dump(block.get("input", {})).decode()
            yield RequestPart(role, "tool_call", text, name, id, (*path, "input"), new)
        case "tool_result":
            yield from _result_parts(role, block, path, new, names)
        case "image":
            yield RequestPart(role, "image", "", path=path, new=new)
        case "thinking":
            yield RequestPart(role, "thinking", str(block.get("thinking", "")), path=(*path, "thinking"), new=new)
        case "redacted_thinking":
            yield RequestPart(role, "thinking", "", path=path, new=new)
        case "document" if isinstance(block.get("source"), dict) and block["source"].get("type") == "text":
            text = str(block["source"].get("data", ""))
            yield RequestPart(role, "other", text, path=(*path, "source", "data"), new=new)
        case kind:
            yield RequestPart(role, "other", "", str(kind), path=path, new=new)


def _result_parts(role: str, block: dict[str, Any], path: Path, new: bool, names: Names) -> Iterator[RequestPart]:
    id = str(block.get("tool_use_id", ""))
    name, content = names.get(id, ""), block.get("content")
    if not isinstance(content, list):
        yield RequestPart(role, "tool_result", str(content or ""), name, id, (*path, "content"), new)
        return
    for position, inner in enumerate(content):
        at = (*path, "content", position)
        if isinstance(inner, dict) and inner.get("type") == "text":
            yield RequestPart(role, "tool_result", _text(inner), name, id, (*at, "text"), new)
        else:
            image = isinstance(inner, dict) and inner.get("type") == "image"
            yield RequestPart(role, "image" if image else "other", "", name, id, at, new)


def _text(block: dict[str, Any]) -> str:
    return str(block.get("text", ""))
