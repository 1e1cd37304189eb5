"""An answer, written as Anthropic's: blocks one after the other, the calls last."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from luthien_stream.core.lens import Violation
from luthien_stream.events.answer import StopReason
from luthien_stream.formats.anthropic_messages.wire import error_frame, raw_reason, wrap
from luthien_stream.formats.convert.answer.errors import for_anthropic
from luthien_stream.formats.convert.answer.message import Block, Call, Message, Spoken, Thinking
from luthien_stream.formats.convert.answer.pieces import (
    Began,
    CallBegan,
    CallEnded,
    CallSaid,
    Ended,
    Failed,
    Piece,
    Said,
    SaidAll,
    Sealed,
    Silent,
    Thought,
)
from luthien_stream.formats.convert.answer.usage import to_anthropic
from luthien_stream.formats.convert.seal import Seal, tagged
from luthien_stream.formats.errors import ProtocolError
from luthien_stream.formats.framing import Notes
from luthien_stream.formats.json import dump, parse

FORMAT = "anthropic_messages"
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":%b:'
_DELTAS = {
    "text": b'"text_delta","text"',
    "thinking": b'"thinking_delta","thinking"',
    "tool_use": b'"input_json_delta","partial_json"',
}


class MessagesWriter:
    """Pieces of one answer to frames."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._frames: list[bytes] = []
        self._index = -1
        self._open = ""  # the type of the block that is open
        self._before = b""  # what a delta of that block has before its text
        self._begun = False
        self._calls = 0
        self._refused = False
        self._notes = Notes()

    def write(self, piece: Piece) -> None:
        """Write a piece."""
        match piece:
            case Said():
                if piece.refusal:
                    self._refused = True
                if self._open == "text" or self._enter("text"):
                    self._frames.append(b"%b%b}}\n\n" % (self._before, dump(piece.text)))
            case CallSaid():
                self._frames.append(b"%b%b}}\n\n" % (self._before, dump(piece.text)))
            case Thought():
                if self._open == "thinking" or self._enter("thinking"):
                    self._frames.append(b"%b%b}}\n\n" % (self._before, dump(piece.text)))
            case Sealed():
                self._sealed(piece.seal)
            case SaidAll() | CallEnded():
                self._shut()
            case CallBegan():
                if piece.kind != "function":
                    raise ProtocolError(f"The provider sent a call of {piece.name} that has no JSON arguments.")
                self._calls += 1
                self._begin({"type": "tool_use", "id": piece.id, "name": piece.name, "input": {}})
            case Began():
                self._start(piece.id, piece.model)
            case Ended():
                self._end(piece)
            case Failed():
                failed = for_anthropic(piece)
                self._frames.append(error_frame(failed.status, failed.message, failed.kind))
            case Silent():
                self._frames.append(wrap("ping", {}))

    def take(self) -> list[bytes]:
        """The frames written since the last call."""
        frames, self._frames = self._frames, []
        return frames

    def notes(self) -> list[Violation]:
        """What was dropped since the last call."""
        return self._notes.take()

    def _start(self, id: str, model: str) -> None:
        self._begun = True
        head = _head(id, model or self._model)
        usage = {"input_tokens": 0, "output_tokens": 0}
        message = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
        self._frames.append(wrap("message_start", {"message": message}))

    def _enter(self, block: str) -> bool:
        """Begin a block of text or thinking, unless a call was written: the client could not send that back."""
        if self._calls:
            self._notes.add("unplaced", f"A piece of {block} behind a tool call was dropped.")
            return False
        self._begin({"type": block, block: "", **({"signature": ""} if block == "thinking" else {})})
        return True

    def _sealed(self, seal: Seal) -> None:
        if seal.redacted and seal.owner == FORMAT:
            if not self._calls:
                self._begin({"type": "redacted_thinking", "data": seal.data})
        elif self._open == "thinking" or (seal.data and self._enter("thinking")):
            delta = {"type": "signature_delta", "signature": tagged(seal, FORMAT)}
            self._frames.append(wrap("content_block_delta", {"index": self._index, "delta": delta}))
        self._shut()

    def _begin(self, block: dict[str, Any]) -> None:
        if not self._begun:
            self._start("", "")
        self._shut()
        self._index += 1
        self._open = block["type"]
        self._before = _DELTA % (self._index, _DELTAS.get(self._open, b""))
        self._frames.append(wrap("content_block_start", {"index": self._index, "content_block": block}))

    def _shut(self) -> None:
        if self._open:
            self._open = ""
            self._frames.append(wrap("content_block_stop", {"index": self._index}))

    def _end(self, ended: Ended) -> None:
        if not self._begun:
            self._start("", "")
        self._shut()
        delta = {"stop_reason": _reason(ended, self._calls, self._refused), "stop_sequence": ended.stop_sequence}
        self._frames.append(wrap("message_delta", {"delta": delta, "usage": to_anthropic(ended.usage)}))
        self._frames.append(wrap("message_stop", {}))


def write_message(message: Message, model: str) -> bytes:
    """An unstreamed answer."""
    blocks = sorted(message.blocks, key=lambda block: isinstance(block, Call))
    calls = sum(isinstance(block, Call) for block in blocks)
    refused = any(isinstance(block, Spoken) and block.refusal for block in blocks)
    return dump(
        {
            **_head(message.began.id, message.began.model or model),
            "content": [written for block in blocks for written in _block(block)],
            "stop_reason": _reason(message.ended, calls, refused),
            "stop_sequence": message.ended.stop_sequence,
            "usage": to_anthropic(message.ended.usage),
        }
    )


def _head(id: str, model: str) -> dict[str, Any]:
    id = id if id.startswith("msg_") else f"msg_{id or 'luthien'}"
    return {"id": id, "type": "message", "role": "assistant", "model": model}


def _reason(ended: Ended, calls: int, refused: bool) -> str:
    reason: StopReason = ended.reason
    if ended.stop_sequence is not None and reason == "stop":
        return "stop_sequence"
    if reason == "stop" and calls:
        reason = "tool_calls"
    elif reason == "stop" and refused:
        reason = "content_filter"
    elif reason == "tool_calls" and not calls:
        reason = "stop"
    return raw_reason(reason)


def _block(block: Block) -> list[dict[str, Any]]:
    match block:
        case Spoken():
            return [{"type": "text", "text": block.text}]
        case Thinking():
            if block.seal.redacted and block.seal.owner == FORMAT:
                return [{"type": "redacted_thinking", "data": block.seal.data}]
            return [{"type": "thinking", "thinking": block.text, "signature": tagged(block.seal, FORMAT)}]
        case Call():
            arguments = _arguments(block)
            return [{"type": "tool_use", "id": block.id, "name": block.name, "input": Raw(arguments)}]


def _arguments(call: Call) -> bytes:
    """The arguments, which a body holds as an object. Raises `ProtocolError` where they are none."""
    text = (call.arguments.strip() or "{}").encode()
    try:
        readable = isinstance(parse(text), dict)
    except ValueError:
        readable = False
    if not readable:
        raise ProtocolError(f"The model's arguments for {call.name} are no JSON object.")
    return text
