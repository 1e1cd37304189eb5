"""Anthropic's answers, read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from luthien_stream.core.lens import Violation
from luthien_stream.core.sse import data_of
from luthien_stream.formats.anthropic_messages.wire import REASONS
from luthien_stream.formats.convert.answer.errors import failure_of
from luthien_stream.formats.convert.answer.pieces import (
    Began,
    CallBegan,
    CallEnded,
    CallSaid,
    Ended,
    Piece,
    Said,
    SaidAll,
    Sealed,
    Silent,
    Thought,
)
from luthien_stream.formats.convert.answer.usage import from_anthropic
from luthien_stream.formats.convert.seal import Seal
from luthien_stream.formats.errors import ProtocolError
from luthien_stream.formats.framing import Notes
from luthien_stream.formats.json import parse_as

FORMAT = "anthropic_messages"


class _Delta(Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None


class _Block(Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    input: Raw = Raw(b"{}")


class _Message(Struct):
    id: str = ""
    model: str = ""
    content: list[_Block] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: dict[str, Any] | None = None


class _Frame(Struct):
    type: str = ""
    index: int = -1
    delta: _Delta | None = None
    content_block: _Block | None = None
    message: _Message | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_FRAME = msgspec.json.Decoder(_Frame)
_MESSAGE = msgspec.json.Decoder(_Message)
_read_fast = _FRAME.decode
_SILENT: Sequence[Piece] = (Silent(),)


class MessagesReader:
    """Frames of one streamed answer to pieces."""

    def __init__(self) -> None:
        self._usage: dict[str, Any] = {}
        self._open: _Block | None = None
        self._index = -1
        self._argued = False
        self._signature = ""
        self._end: _Delta | None = None
        self._begun = False
        self._over = False
        self._notes = Notes()

    def frame(self, raw: bytes) -> Sequence[Piece]:
        """Take one frame."""
        data = data_of(raw)
        if not data:
            return _SILENT
        try:
            frame = _read_fast(data)
        except (ValueError, RecursionError):
            frame = _read(data)
        if frame.type == "content_block_delta":
            return self._delta(frame)
        return self._other(frame)

    def close(self) -> Sequence[Piece]:
        """The stream ended."""
        return ()

    def notes(self) -> list[Violation]:
        """What was dropped since the last call."""
        return self._notes.take()

    def _delta(self, frame: _Frame) -> Sequence[Piece]:
        delta = frame.delta
        if self._open is None or frame.index != self._index or delta is None:
            raise ProtocolError("The provider sent a delta outside its block.")
        kind = delta.type
        if kind == "text_delta":
            return (Said(delta.text),) if delta.text else ()
        if kind == "input_json_delta":
            if self._open.type != "tool_use" or not delta.partial_json:
                return ()
            self._argued = True
            return (CallSaid(delta.partial_json),)
        if kind == "thinking_delta":
            return (Thought(delta.thinking),) if delta.thinking else ()
        if kind == "signature_delta":
            self._signature += delta.signature
        else:
            self._notes.add("no_counterpart", f"{kind or 'A delta without a type'} was dropped.")
        return ()

    def _other(self, frame: _Frame) -> Sequence[Piece]:
        if frame.type == "ping":
            return _SILENT
        if self._over:
            raise ProtocolError(f"The provider sent {frame.type} after the end of its answer.")
        match frame.type:
            case "content_block_start":
                return self._start(frame)
            case "content_block_stop":
                return self._stop(frame)
            case "message_start":
                return self._begin(frame)
            case "message_delta":
                self._outside(frame.type)
                self._count(frame.usage)
                self._end = frame.delta or _Delta()
                return ()
            case "message_stop":
                self._outside(frame.type)
                self._over = True
                end = self._end or _Delta()
                return (_ended(end.stop_reason, end.stop_sequence, self._usage),)
            case "error":
                self._over, self._open = True, None
                return (failure_of(0, frame.error),)
        self._notes.add("no_counterpart", f"{frame.type or 'An event without a type'} was dropped.")
        return ()

    def _begin(self, frame: _Frame) -> Sequence[Piece]:
        message = frame.message
        if self._begun or message is None:
            raise ProtocolError("The provider began its message twice, or without its head.")
        self._begun = True
        self._count(message.usage)
        return (Began(message.id, message.model),)

    def _start(self, frame: _Frame) -> Sequence[Piece]:
        if self._open is not None or frame.content_block is None or not self._begun:
            raise ProtocolError("The provider began a block inside another one, or outside its message.")
        self._open, self._index = frame.content_block, frame.index
        self._argued, self._signature = False, frame.content_block.signature
        return tuple(_opening(frame.content_block, self._notes))

    def _stop(self, frame: _Frame) -> Sequence[Piece]:
        block = self._open
        if block is None or frame.index != self._index:
            raise ProtocolError("The provider ended a block that was not open.")
        self._open = None
        return tuple(_closing(block, self._signature, self._argued))

    def _outside(self, type: str) -> None:
        if self._open is not None or not self._begun:
            raise ProtocolError(f"The provider sent {type} inside a block, or before its message began.")

    def _count(self, usage: dict[str, Any] | None) -> None:
        self._usage.update({name: count for name, count in (usage or {}).items() if count is not None})


def read_message(body: bytes, notes: Notes) -> list[Piece]:
    """The pieces of an unstreamed answer. Raises `ProtocolError` where it is none."""
    try:
        message = parse_as(_MESSAGE, body)
    except ValueError as error:
        raise ProtocolError(f"The provider's answer is no message: {error}.") from None
    if message.content is None:
        raise ProtocolError("The provider's answer is no message: it has no content.")
    pieces: list[Piece] = [Began(message.id, message.model)]
    for block in message.content:
        pieces += [*_opening(block, notes), *_closing(block, block.signature, False)]
    return [*pieces, _ended(message.stop_reason, message.stop_sequence, message.usage)]


def _read(data: bytes) -> _Frame:
    try:
        return parse_as(_FRAME, data)
    except ValueError as error:
        raise ProtocolError(f"The provider sent an event that cannot be read: {error}.") from None


def _opening(block: _Block, notes: Notes) -> Iterator[Piece]:
    """What the start of a block says."""
    match block.type:
        case "text":
            if block.text:
                yield Said(block.text)
        case "thinking":
            if block.thinking:
                yield Thought(block.thinking)
        case "tool_use":
            if not block.name:
                raise ProtocolError("The provider sent a tool call without a name.")
            yield CallBegan(block.id, block.name)
        case "redacted_thinking":
            pass
        case kind:
            notes.add("no_counterpart", f"A block of {kind or 'no type'} was dropped.")


def _closing(block: _Block, signature: str, argued: bool) -> Iterator[Piece]:
    """What the end of a block says."""
    match block.type:
        case "text":
            yield SaidAll()
        case "thinking":
            yield Sealed(Seal(FORMAT, signature))
        case "redacted_thinking":
            yield Sealed(Seal(FORMAT, block.data, redacted=True))
        case "tool_use":
            if not argued:
                yield CallSaid(bytes(block.input).decode() or "{}")
            yield CallEnded()


def _ended(reason: str | None, sequence: str | None, usage: dict[str, Any] | None) -> Ended:
    return Ended(REASONS.get(reason or "", "stop"), from_anthropic(usage), sequence)
