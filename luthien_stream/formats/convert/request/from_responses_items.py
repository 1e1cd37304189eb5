"""The items of an OpenAI response's input, read: each is a turn, or a part of one, of its own."""

from __future__ import annotations

from collections.abc import Iterator

from luthien_stream.formats.convert.request.conversation import (
    Document,
    Image,
    Part,
    Reasoning,
    Text,
    ToolKind,
    ToolResult,
    ToolUse,
    Turn,
)
from luthien_stream.formats.convert.request.fields import Fields, must_be, unsupported
from luthien_stream.formats.convert.request.from_chat_messages import only_texts
from luthien_stream.formats.convert.request.images import document_of, image_of
from luthien_stream.formats.convert.request.tools import LOCAL_SHELL, grouped
from luthien_stream.formats.convert.seal import seal_of
from luthien_stream.formats.json import dump

FORMAT = "openai_responses"
_HINTS = ("id", "status", "phase", "created_by", "name")
"""What the provider noted about its own items."""


def turn_of(item: Fields) -> Turn:
    """One item."""
    kind = item.text("type") or "message"
    if kind == "message":
        return _message(item)
    part: Part
    match kind:
        case "function_call" | "custom_tool_call" | "local_shell_call":
            part = _use(kind, item)
        case "function_call_output" | "custom_tool_call_output" | "local_shell_call_output":
            part = _result(kind, item)
        case "reasoning":
            part = _reasoning(item)
        case _:
            raise unsupported(item.path, kind)
    item.leave(*_HINTS)
    item.done()
    return Turn("user" if isinstance(part, ToolResult) else "assistant", (part,), item.path)


def _message(item: Fields) -> Turn:
    role = item.word("role", ("user", "assistant", "system", "developer"))
    item.leave("id", "status", "phase")
    parts = tuple(_content(item, "content"))
    item.done()
    match role:
        case "user":
            return Turn("user", parts, item.path)
        case "assistant":
            return Turn("assistant", parts, item.path)
        case "system" | "developer":
            return Turn("system", tuple(only_texts(parts)), item.path)
    raise must_be(item.at("role"), "user, assistant, system or developer")


def _content(item: Fields, name: str) -> Iterator[Text | Image | Document]:
    if item.holds(name, str):
        if text := item.text(name):
            yield Text(text)
        return
    for part in item.objects(name):
        kind = part.needed("type")
        part.leave("prompt_cache_breakpoint")
        match kind:
            case "input_text" | "output_text" | "text":
                part.leave("annotations", "logprobs")
                if text := part.text("text"):
                    yield Text(text)
            case "refusal":
                if text := part.text("refusal"):
                    yield Text(text, refusal=True)
            case "input_image":
                if part.text("file_id"):
                    raise unsupported(part.at("file_id"))
                yield image_of(part.needed("image_url"), part.path, part.text("detail"))
            case "input_file":
                yield document_of(part)
            case _:
                raise unsupported(part.path, kind)
        part.done()


def _use(kind: str, item: Fields) -> ToolUse:
    id = item.needed("call_id")
    if (caller := item.object("caller")) is not None:
        caller.only("type", "direct")
        caller.done()
    if kind == "local_shell_call":
        action = item.mapping("action") or {}
        arguments = {name: said for name, said in action.items() if name != "type" and said is not None}
        return ToolUse(id, LOCAL_SHELL, dump(arguments).decode(), item.path, "local_shell")
    name = grouped(item.text("namespace"), item.needed("name"))
    if kind == "custom_tool_call":
        return ToolUse(id, name, item.text("input"), item.path, "custom")
    item.only("async", False)
    return ToolUse(id, name, item.text("arguments"), item.path)


def _result(kind: str, item: Fields) -> ToolResult:
    id = item.text("call_id") or item.needed("id")
    kinds: dict[str, ToolKind] = {"custom_tool_call_output": "custom", "local_shell_call_output": "local_shell"}
    item.leave("caller", "namespace")
    return ToolResult(id, tuple(_content(item, "output")), kind=kinds.get(kind, "function"))


def _reasoning(item: Fields) -> Part:
    texts = []
    for piece in (*item.objects("summary"), *item.objects("content")):
        piece.only("type", "summary_text", "reasoning_text")
        texts.append(piece.text("text"))
        piece.done()
    return Reasoning("\n\n".join(texts), seal_of(item.text("encrypted_content"), FORMAT))
