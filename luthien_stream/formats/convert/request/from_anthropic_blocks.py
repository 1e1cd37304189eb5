"""Anthropic's content blocks, read."""

from __future__ import annotations

from collections.abc import Iterator

from luthien_stream.formats.convert.request.anthropic_tools import Offered
from luthien_stream.formats.convert.request.conversation import (
    Document,
    Image,
    Part,
    Reasoning,
    Text,
    ToolResult,
    ToolUse,
)
from luthien_stream.formats.convert.request.fields import Fields, must_be, unsupported
from luthien_stream.formats.convert.request.images import PDF
from luthien_stream.formats.convert.seal import seal_of
from luthien_stream.formats.json import dump

FORMAT = "anthropic_messages"
_BILLING = "x-anthropic-billing-header:"
"""How a system text begins that Claude Code writes for Anthropic's accounts, not for the model."""


def blocks_of(blocks: list[Fields], offered: Offered) -> Iterator[Part]:
    """The parts of a turn; empty texts go, as no provider takes them."""
    for block in blocks:
        kind = block.needed("type")
        block.leave("cache_control")
        match kind:
            case "text" | "image" | "document":
                yield from _shown(kind, block)
            case "tool_use":
                yield _use(block)
            case "tool_result":
                yield _result(block, offered)
            case "thinking":
                yield Reasoning(block.text("thinking"), seal_of(block.text("signature"), FORMAT))
            case "redacted_thinking":
                yield Reasoning("", seal_of(block.text("data"), FORMAT, redacted=True))
            case _:
                raise unsupported(block.path, kind)
        block.done()


def system_blocks_of(blocks: list[Fields], offered: Offered) -> Iterator[Text]:
    """The texts of a system's turn, which may also change what tools are offered."""
    for block in blocks:
        if (kind := block.needed("type")) != "text":
            block.leave("cache_control")
            offered.change(kind, block)
            block.done()
        else:
            yield from (Text(text) for text in _plain(block))


def texts_of(blocks: list[Fields]) -> list[str]:
    """The texts in blocks that may be nothing else."""
    for block in blocks:
        block.only("type", "text")
    return [text for block in blocks for text in _plain(block) if not text.startswith(_BILLING)]


def _plain(block: Fields) -> list[str]:
    text = block.text("text")
    block.leave("cache_control", "citations")
    block.done()
    return [text] if text else []


def _shown(kind: str, block: Fields) -> Iterator[Text | Image | Document]:
    """A text, image or document."""
    match kind:
        case "text":
            text = block.text("text")
            block.leave("citations")
            if text:
                yield Text(text)
        case "image":
            block.leave("transformations")
            yield _image(block)
        case "document":
            yield _document(block)
        case _:
            raise unsupported(block.path, kind)


def _image(block: Fields) -> Image:
    source = _source(block)
    kind = source.word("type", ("base64", "url"))
    if kind == "url":
        found = Image(block.path, url=source.needed("url"))
    else:
        found = Image(block.path, source.needed("data"), source.needed("media_type"))
    source.done()
    return found


def _document(block: Fields) -> Document:
    if (citations := block.object("citations")) is not None:
        citations.only("enabled", False)
        citations.done()
    name, source = block.text("title"), _source(block)
    kind = source.word("type", ("base64", "url"))
    if kind == "url":
        found = Document(block.path, url=source.needed("url"), name=name)
    else:
        source.only("media_type", PDF)
        found = Document(block.path, source.needed("data"), name=name)
    source.done()
    return found


def _source(block: Fields) -> Fields:
    source = block.object("source")
    if source is None:
        raise must_be(block.at("source"), "an object")
    return source


def _use(block: Fields) -> ToolUse:
    if (caller := block.object("caller")) is not None:
        caller.only("type", "direct")
        caller.done()
    arguments = dump(block.mapping("input") or {}).decode()
    return ToolUse(block.needed("id"), block.needed("name"), arguments, block.path)


def _result(block: Fields, offered: Offered) -> ToolResult:
    id, failed = block.needed("tool_use_id"), bool(block.flag("is_error"))
    if block.holds("content", str):
        text = block.text("content")
        return ToolResult(id, (Text(text),) if text else (), failed)
    content: list[Text | Image | Document] = []
    for inner in block.objects("content"):
        inner.leave("cache_control")
        kind = inner.needed("type")
        if kind == "tool_reference":
            name = inner.needed("tool_name")
            offered.add(name, inner.path)
            content.append(Text(f"The tool {name} can be called now."))
        else:
            content += _shown(kind, inner)
        inner.done()
    return ToolResult(id, tuple(content), failed)
