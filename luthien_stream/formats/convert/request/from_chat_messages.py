"""The messages of an OpenAI chat, read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from luthien_stream.formats.convert.request.conversation import (
    Document,
    Image,
    Part,
    Reasoning,
    Text,
    ToolResult,
    ToolUse,
    Turn,
)
from luthien_stream.formats.convert.request.fields import Fields, must_be, unsupported
from luthien_stream.formats.convert.request.images import document_of, image_of
from luthien_stream.formats.convert.seal import Seal, seal_of

FORMAT = "openai_chat"
BLOCKS = "anthropic_messages"
"""Whose the signatures in `thinking_blocks` are where they bear no tag."""
_REPEATS = ("reasoning_details", "provider_specific_fields", "annotations")
"""What an answer said beside its content, and says again when it comes back as history."""


def turn_of(message: Fields) -> Turn:
    """One message."""
    role = message.word("role", ("system", "developer", "user", "assistant", "tool"))
    message.leave("cache_control")
    parts: tuple[Part, ...]
    match role:
        case "tool":
            parts = (_result(message),)
            message.leave("name")
        case "assistant":
            parts = tuple(_assistant(message))
        case "user":
            parts = tuple(_content(message))
        case "system" | "developer":
            parts = tuple(only_texts(_content(message)))
        case _:
            raise must_be(message.at("role"), "system, developer, user, assistant or tool")
    message.done()
    if role == "assistant":
        return Turn("assistant", parts, message.path)
    return Turn("user" if role in ("user", "tool") else "system", parts, message.path)


def _content(message: Fields) -> Iterator[Text | Image | Document]:
    if message.holds("content", str):
        if text := message.text("content"):
            yield Text(text)
        return
    for part in message.objects("content"):
        part.leave("cache_control", "prompt_cache_breakpoint")
        yield from _part(part.needed("type"), part)
        part.done()


def only_texts(parts: Iterable[Text | Image | Document]) -> Iterator[Text]:
    """The parts of a system's message, which may be nothing but text."""
    for part in parts:
        if not isinstance(part, Text):
            raise unsupported(part.path, "in a system's message")
        yield part


def _part(kind: str, part: Fields) -> Iterator[Text | Image | Document]:
    match kind:
        case "text":
            if text := part.text("text"):
                yield Text(text)
        case "refusal":
            if text := part.text("refusal"):
                yield Text(text, refusal=True)
        case "image_url":
            image = part.object("image_url")
            if image is None:
                raise must_be(part.at("image_url"), "an object")
            yield image_of(image.needed("url"), part.path, image.text("detail"))
            image.done()
        case "file":
            file = part.object("file")
            if file is None:
                raise must_be(part.at("file"), "an object")
            yield document_of(file)
            file.done()
        case _:
            raise unsupported(part.path, kind)


def _assistant(message: Fields) -> Iterator[Part]:
    yield from _reasoning(message)
    yield from _content(message)
    if refusal := message.text("refusal"):
        yield Text(refusal, refusal=True)
    message.leave(*_REPEATS)
    for call in message.objects("tool_calls"):
        kind = call.word("type", ("function", "custom")) or "function"
        call.leave("index", "provider_specific_fields")
        inner = call.object(kind)
        if inner is None:
            raise must_be(call.at(kind), "an object")
        name, id = inner.needed("name"), call.needed("id")
        inner.leave("provider_specific_fields")
        if kind == "custom":
            yield ToolUse(id, name, inner.text("input"), call.path, "custom")
        else:
            yield ToolUse(id, name, inner.text("arguments"), call.path)
        inner.done()
        call.done()


def _reasoning(message: Fields) -> Iterator[Reasoning]:
    """The thoughts: signed blocks if the client kept them, which say the text again."""
    text = message.text("reasoning_content")
    text = text or message.text("reasoning")
    message.leave("reasoning")
    blocks = message.objects("thinking_blocks")
    if not blocks and text:
        yield Reasoning(text, Seal(FORMAT))
    for block in blocks:
        block.leave("index", "cache_control")
        if block.word("type", ("thinking", "redacted_thinking")) == "redacted_thinking":
            yield Reasoning("", seal_of(block.text("data"), BLOCKS, redacted=True))
        else:
            yield Reasoning(block.text("thinking"), seal_of(block.text("signature"), BLOCKS))
        block.done()


def _result(message: Fields) -> ToolResult:
    return ToolResult(message.needed("tool_call_id"), tuple(_content(message)))
