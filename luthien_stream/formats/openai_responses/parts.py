"""The pieces of a responses conversation, each with the path by which it is edited."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from luthien_stream.core.lens import RequestPart
from luthien_stream.formats.json import dump
from luthien_stream.formats.openai_responses.items import TOOLS

Json = dict[str, Any]
Path = tuple[str | int, ...]
Names = dict[str, str]
SAID = ("input_text", "output_text", "text", "summary_text", "reasoning_text")
"""The types of content that are text."""
_STREAMS = ("stdout", "stderr")


def is_models(item: Json) -> bool:
    """True for an item that the model made."""
    kind = str(item.get("type", "message"))
    return item.get("role") == "assistant" or kind == "reasoning" or kind in TOOLS or kind.endswith("_call")


def is_result(item: Json) -> bool:
    """True for what a tool answered."""
    return str(item.get("type", "")).endswith("_output")


def item_parts(item: Json, path: Path, new: bool, names: Names) -> Iterator[RequestPart]:
    """The parts of one item. `names` collects the names of tool calls by their id."""
    kind = str(item.get("type", "message"))
    if "role" in item:
        yield from content_parts(str(item["role"]), item.get("content"), (*path, "content"), new)
    elif kind in TOOLS:
        yield from _call_parts(kind, item, path, new, names)
    elif is_result(item):
        yield from _result_parts(item, path, new, names)
    elif kind == "reasoning":
        texts = [one.get("text") for name in ("summary", "content") for one in _listed(item.get(name))]
        yield RequestPart("assistant", "thinking", "".join(str(text or "") for text in texts), path=path, new=new)
    else:
        role = "assistant" if is_models(item) else "user"
        yield RequestPart(role, "other", "", kind, str(item.get("id") or ""), path, new)


def content_parts(role: str, content: Any, path: Path, new: bool) -> Iterator[RequestPart]:
    """The parts of a message's content."""
    if isinstance(content, str):
        yield RequestPart(role, "text", content, path=path, new=new)
        return
    for position, block in enumerate(content or ()):
        at = (*path, position)
        match block.get("type"):
            case kind if kind in SAID:
                yield RequestPart(role, "text", str(block.get("text", "")), path=(*at, "text"), new=new)
            case "refusal":
                yield RequestPart(role, "text", str(block.get("refusal", "")), path=(*at, "refusal"), new=new)
            case "input_image":
                yield RequestPart(role, "image", "", path=at, new=new)
            case kind:
                yield RequestPart(role, "other", "", str(kind), path=at, new=new)


def call_name(item: Json) -> str:
    """The name of the tool that an item calls."""
    return TOOLS[str(item["type"])].name or str(item.get("name", ""))


def call_text(item: Json) -> tuple[str, str]:
    """The field with the arguments of a call, and the arguments as text."""
    tool = TOOLS[str(item["type"])]
    field = "actions" if tool.kind == "computer" and "action" not in item and "actions" in item else tool.field
    said = item.get(field, "" if tool.text else {})
    return field, said if isinstance(said, str) and tool.text else dump(said).decode()


def call_id(item: Json) -> str:
    """What a call and its result have in common."""
    return str(item.get("call_id") or item.get("id") or "")


def _call_parts(kind: str, item: Json, path: Path, new: bool, names: Names) -> Iterator[RequestPart]:
    field, text = call_text(item)
    id, name = call_id(item), call_name(item)
    names[id] = name
    yield RequestPart("assistant", "tool_call", text, name, id, (*path, field), new)


def _result_parts(item: Json, path: Path, new: bool, names: Names) -> Iterator[RequestPart]:
    id, output = call_id(item), item.get("output")
    name = str(item.get("name") or names.get(id, ""))
    if isinstance(output, str) or output is None:
        yield RequestPart("tool", "tool_result", output or "", name, id, (*path, "output"), new)
        return
    for position, block in enumerate(output if isinstance(output, list) else ()):
        at = (*path, "output", position)
        if block.get("type") in SAID:
            yield RequestPart("tool", "tool_result", str(block.get("text", "")), name, id, (*at, "text"), new)
            continue
        streams = [stream for stream in _STREAMS if isinstance(block.get(stream), str)]
        for stream in streams:
            yield RequestPart("tool", "tool_result", block[stream], name, id, (*at, stream), new)
        if not streams:
            image = block.get("type") == "input_image"
            yield RequestPart("tool", "image" if image else "other", "", name, id, at, new)
    if isinstance(output, dict):
        image = "image_url" in output or "file_id" in output
        yield RequestPart("tool", "image" if image else "other", "", name, id, (*path, "output"), new)


def _listed(value: Any) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
