"""An answer, written as OpenAI's chat chunks, or as one completion."""

from __future__ import annotations

from typing import Any

from luthien_stream.core.lens import Violation
from luthien_stream.core.sse import frame_of
from luthien_stream.events.answer import StopReason
from luthien_stream.formats.convert.answer.errors import openai_kind
from luthien_stream.formats.convert.answer.message import Block, Call, Message, Spoken, Thinking
from luthien_stream.formats.convert.answer.pieces import (
    Began,
    CallBegan,
    CallSaid,
    Ended,
    Failed,
    Joined,
    Piece,
    Said,
    Sealed,
    Silent,
    Thought,
)
from luthien_stream.formats.convert.answer.usage import to_chat
from luthien_stream.formats.convert.seal import Seal, tagged
from luthien_stream.formats.json import dump
from luthien_stream.formats.openai_chat.wire import DONE, error_frame, raw_reason

SIGNATURES = "anthropic_messages"
"""Whose signatures stand in `thinking_blocks` without a tag."""
_TAIL = b'},"logprobs":null,"finish_reason":null}]}\n\n'
_KEEP_ALIVE = b": keep-alive\n\n"


class ChatWriter:
    """Pieces of one answer to frames."""

    def __init__(self, model: str, created: int, usage: bool) -> None:
        self._head = _head(Began("", model), model, created, "chat.completion.chunk")
        self._model, self._created = model, created
        self._wants_usage = usage
        self._before = b""  # what a chunk has before its delta
        self._frames: list[bytes] = []
        self._thought = Joined()
        self._blocks = 0
        self._calls = 0
        self._call_before = b""  # what a chunk of the open call has before its text

    def write(self, piece: Piece) -> None:
        """Write a piece."""
        match piece:
            case Said() if self._before and not piece.refusal:
                self._frames.append(b'%b"content":%b%b' % (self._before, dump(piece.text), _TAIL))
            case Said():
                self._text(b'"refusal"' if piece.refusal else b'"content"', piece.text)
            case CallSaid():
                self._frames.append(b"%b%b}}]%b" % (self._call_before, dump(piece.text), _TAIL))
            case Thought():
                self._thought.add(piece.text)
                self._text(b'"reasoning_content"', piece.text)
            case Sealed():
                self._sealed(piece.seal)
            case CallBegan():
                self._call(piece)
            case Began():
                self._head = _head(piece, self._model, self._created, "chat.completion.chunk")
                self._begun()
            case Ended():
                self._end(piece)
            case Failed():
                self._frames.append(error_frame(piece.status, piece.message, openai_kind(piece), piece.code))
            case Silent():
                self._frames.append(_KEEP_ALIVE)

    def take(self) -> list[bytes]:
        """The frames written since the last call."""
        frames, self._frames = self._frames, []
        return frames

    def notes(self) -> list[Violation]:
        """Nothing is dropped here: chat has a place for every piece."""
        return []

    def _begun(self) -> bytes:
        """What a chunk begins with; the first one says the role."""
        if not self._before:
            self._before = b"data: %b," % dump(self._head)[:-1] + b'"choices":[{"index":0,"delta":{'
            self._frames.append(self._before + b'"role":"assistant","content":""' + _TAIL)
        return self._before

    def _text(self, field: bytes, text: str) -> None:
        self._frames.append(b"%b%b:%b%b" % (self._begun(), field, dump(text), _TAIL))

    def _sealed(self, seal: Seal) -> None:
        block = _block(self._thought.take(), seal)
        if block is not None:
            # OpenAI's SDK joins lists from several chunks by `index`.
            blocks = dump([{"index": self._blocks, **block}])
            self._blocks += 1
            self._frames.append(b'%b"thinking_blocks":%b%b' % (self._begun(), blocks, _TAIL))

    def _call(self, began: CallBegan) -> None:
        call = _call(Call(began.id, began.name, "", began.kind))
        field = b'"custom":{"input"' if began.kind == "custom" else b'"function":{"arguments"'
        self._call_before = b'%b"tool_calls":[{"index":%d,%b:' % (self._begun(), self._calls, field)
        self._frames.append(b'%b"tool_calls":%b%b' % (self._begun(), dump([{"index": self._calls, **call}]), _TAIL))
        self._calls += 1

    def _end(self, ended: Ended) -> None:
        self._begun()
        choice = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": _reason(ended.reason, self._calls)}
        self._frames.append(frame_of(dump({**self._head, "choices": [choice]})))
        if self._wants_usage:
            self._frames.append(frame_of(dump({**self._head, "choices": [], "usage": to_chat(ended.usage)})))
        self._frames.append(DONE)


def write_completion(message: Message, model: str, created: int) -> bytes:
    """An unstreamed answer."""
    calls = [block for block in message.blocks if isinstance(block, Call)]
    choice = {
        "index": 0,
        "message": _message(message.blocks, calls),
        "logprobs": None,
        "finish_reason": _reason(message.ended.reason, len(calls)),
    }
    head = _head(message.began, model, created, "chat.completion")
    return dump({**head, "choices": [choice], "usage": to_chat(message.ended.usage)})


def _message(blocks: tuple[Block, ...], calls: list[Call]) -> dict[str, Any]:
    texts = [block for block in blocks if isinstance(block, Spoken)]
    thoughts = [block for block in blocks if isinstance(block, Thinking)]
    content = "".join(block.text for block in texts if not block.refusal)
    refusal = "".join(block.text for block in texts if block.refusal)
    message: dict[str, Any] = {"role": "assistant", "content": content or None, "refusal": refusal or None}
    if thought := "".join(block.text for block in thoughts):
        message["reasoning_content"] = thought
    if signed := [block for thought in thoughts if (block := _block(thought.text, thought.seal)) is not None]:
        message["thinking_blocks"] = signed
    return {**message, "tool_calls": [_call(call) for call in calls]} if calls else message


def _head(began: Began, model: str, created: int, kind: str) -> dict[str, Any]:
    id = began.id if began.id.startswith("chatcmpl-") else f"chatcmpl-{began.id or 'luthien'}"
    return {"id": id, "object": kind, "created": began.created or created, "model": began.model or model}


def _block(text: str, seal: Seal) -> dict[str, Any] | None:
    """Signed reasoning in LiteLLM's words, None if there is no signature to keep."""
    if not seal.data:
        return None
    if seal.redacted and seal.owner == SIGNATURES:
        return {"type": "redacted_thinking", "data": seal.data}
    return {"type": "thinking", "thinking": text, "signature": tagged(seal, SIGNATURES)}


def _call(call: Call) -> dict[str, Any]:
    if call.kind == "custom":
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _reason(reason: StopReason, calls: int) -> str:
    if reason == "stop" and calls:
        reason = "tool_calls"
    elif reason == "tool_calls" and not calls:
        reason = "stop"
    return raw_reason(reason, legacy=False)
