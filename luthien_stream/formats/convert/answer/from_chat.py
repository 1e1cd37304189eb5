"""OpenAI's chat answers, read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from luthien_stream.core.lens import Violation
from luthien_stream.core.sse import data_of
from luthien_stream.formats.convert.answer.calls import CallOrder
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
from luthien_stream.formats.convert.answer.usage import from_chat
from luthien_stream.formats.convert.seal import Seal
from luthien_stream.formats.errors import ProtocolError
from luthien_stream.formats.framing import Notes
from luthien_stream.formats.json import parse, parse_as
from luthien_stream.formats.openai_chat.wire import (
    REASONS,
    Chunk,
    Delta,
    Function,
    ToolDelta,
    is_done,
    opaque_names,
    read,
    read_fast,
)

FORMAT = "openai_chat"
_BLOCKS = "thinking_blocks"
_SILENT: Sequence[Piece] = (Silent(),)
_NOT_ASKED = "The provider sent a call of a kind that it was not offered."
_QUIET = frozenset({_BLOCKS, "provider_specific_fields"})
"""Fields that say again what is carried."""


class ChatReader:
    """Frames of one streamed answer to pieces."""

    def __init__(self) -> None:
        self._begun = False
        self._id = ""
        self._kind = ""  # of the part that is open: text, refusal, thinking
        self._calls = CallOrder()
        self._finish: str | None = None
        self._usage: dict[str, Any] | None = None
        self._over = False
        self._notes = Notes()

    def frame(self, raw: bytes) -> Sequence[Piece]:
        """Take one frame."""
        data = data_of(raw)
        if not data:
            return _SILENT
        if is_done(data):
            return self.close()
        try:
            chunk = read_fast(data)
        except (ValueError, RecursionError):
            chunk = read(data)
        if chunk.usage:
            self._usage = chunk.usage
        if chunk.error:
            failed = () if self._over else (failure_of(0, chunk.error),)
            self._over = True
            return failed
        if not chunk.choices:
            if chunk.choices is None and not chunk.usage:
                self._notes.add("no_counterpart", "An event that is no chunk was dropped.")
            return ()
        if self._over or len(chunk.choices) > 1 or chunk.choices[0].index:
            raise ProtocolError("The provider sent a second choice, or a chunk after the end of its answer.")
        choice = chunk.choices[0]
        delta = choice.delta
        if delta is None or not self._begun or not _says_one_thing(delta):
            pieces: Sequence[Piece] = tuple(self._chunk(chunk, data))
        elif delta.content and self._kind == "text":
            pieces = (Said(delta.content),)
        elif delta.tool_calls and not self._kind:
            pieces = self._more(delta.tool_calls)
        else:
            pieces = tuple(self._chunk(chunk, data))
        if choice.finish_reason:
            self._finish = choice.finish_reason
        return pieces

    def close(self) -> Sequence[Piece]:
        """The stream ended: an answer with a finish is whole, also without `[DONE]`."""
        if self._over or self._finish is None:
            return ()
        self._over = True
        pieces = [*self._leave(), *self._calls.end_all()]
        return (*pieces, Ended(REASONS.get(self._finish, "stop"), from_chat(self._usage)))

    def notes(self) -> list[Violation]:
        """What was dropped since the last call."""
        return self._notes.take()

    def _chunk(self, chunk: Chunk, data: bytes) -> Iterator[Piece]:
        if not self._begun:
            self._begun = True
            began = _began(parse(data))
            self._id = began.id
            yield began
        delta = chunk.choices[0].delta if chunk.choices else None
        if delta is None:
            return
        others = delta.others or {}
        yield from self._thoughts(delta, others.get(_BLOCKS))
        for kind, text in (("text", delta.content), ("refusal", delta.refusal)):
            if text:
                yield from self._enter(kind)
                yield Said(text, kind == "refusal")
        if names := [name for name in opaque_names(delta) if name not in _QUIET]:
            self._notes.add("no_counterpart", f"{', '.join(names)} was dropped.")
        if delta.function_call is not None:
            raise ProtocolError(_NOT_ASKED)
        if delta.tool_calls:
            yield from self._leave()
        for position, piece in enumerate(delta.tool_calls or ()):
            yield from self._call(piece, position)

    def _thoughts(self, delta: Delta, blocks: Any) -> Iterator[Piece]:
        thought = delta.reasoning_content or delta.reasoning
        signed = [block for block in blocks or () if isinstance(block, dict)] if isinstance(blocks, list) else []
        for block in signed:
            if block.get("type") == "redacted_thinking":
                yield from self._leave()
                yield Sealed(Seal(FORMAT, str(block.get("data", "")), redacted=True))
        if thought:
            yield from self._enter("thinking")
            yield Thought(thought)
        if signature := next((str(block["signature"]) for block in signed if block.get("signature")), ""):
            self._kind = ""
            yield Sealed(Seal(FORMAT, signature))

    def _more(self, calls: Sequence[ToolDelta]) -> Sequence[Piece]:
        """Pieces of calls; of most chunks it is one piece of a call that has begun."""
        piece = calls[0]
        function, key = piece.function, piece.index
        if (
            len(calls) > 1
            or key is None
            or function is None
            or piece.custom
            or self._calls.is_another(key, piece.id or "")
        ):
            return [made for position, call in enumerate(calls) for made in self._call(call, position)]
        return self._calls.add(key, function.arguments or "")

    def _call(self, piece: ToolDelta, position: int) -> Iterator[Piece]:
        key = piece.index if piece.index is not None else position
        said = _function(piece)
        name = said.name if said is not None else None
        if self._calls.is_another(key, piece.id or ""):
            if not name:
                raise ProtocolError("The provider sent a tool call without a name.")
            yield from self._calls.begin(key, CallBegan(piece.id or _made_id(self._id, key), name))
        yield from self._calls.add(key, (said.arguments if said is not None else None) or "")

    def _enter(self, kind: str) -> Iterator[Piece]:
        if kind != self._kind:
            yield from self._leave()
            self._kind = kind
        if self._calls:
            yield from self._calls.end_all()

    def _leave(self) -> Iterator[Piece]:
        kind, self._kind = self._kind, ""
        if kind == "thinking":
            yield Sealed(Seal(FORMAT))
        elif kind:
            yield SaidAll()


class _Message(Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    thinking_blocks: list[dict[str, Any]] | None = None
    tool_calls: list[ToolDelta] | None = None
    audio: Any = None
    function_call: Any = None


class _Choice(Struct):
    message: _Message
    finish_reason: str | None = None


class _Body(Struct):
    choices: list[_Choice]
    id: str | None = None
    model: str | None = None
    created: float | None = None
    usage: dict[str, Any] | None = None


_BODY = msgspec.json.Decoder(_Body)


def read_completion(body: bytes, notes: Notes) -> list[Piece]:
    """The pieces of an unstreamed answer. Raises `ProtocolError` where it is none."""
    try:
        found = parse_as(_BODY, body)
    except ValueError as error:
        raise ProtocolError(f"The provider's answer is no chat completion: {error}.") from None
    if len(found.choices) != 1:
        raise ProtocolError(f"The provider sent {len(found.choices)} choices where one was asked for.")
    message = found.choices[0].message
    if message.function_call is not None:
        raise ProtocolError(_NOT_ASKED)
    if message.audio:
        notes.add("no_counterpart", "audio was dropped.")
    pieces: list[Piece] = [Began(found.id or "", found.model or "", int(found.created or 0)), *_thinking(message)]
    if message.content:
        pieces += [Said(message.content), SaidAll()]
    if message.refusal:
        pieces += [Said(message.refusal, True), SaidAll()]
    for key, call in enumerate(message.tool_calls or ()):
        pieces += _whole_call(call, _made_id(found.id or "", key))
    return [*pieces, Ended(REASONS.get(found.choices[0].finish_reason or "", "stop"), from_chat(found.usage))]


def _thinking(message: _Message) -> Iterator[Piece]:
    blocks = message.thinking_blocks or []
    thought = message.reasoning_content or message.reasoning
    if thought and not blocks:
        yield Thought(thought)
        yield Sealed(Seal(FORMAT))
    for block in blocks:
        if block.get("type") == "redacted_thinking":
            yield Sealed(Seal(FORMAT, str(block.get("data", "")), redacted=True))
            continue
        if text := block.get("thinking"):
            yield Thought(str(text))
        yield Sealed(Seal(FORMAT, str(block.get("signature") or "")))


def _made_id(answer: str, key: int) -> str:
    """The id of a call that the provider gave none: without one no result could be linked to it."""
    return f"call_{answer}_{key}"


def _whole_call(call: ToolDelta, made_id: str) -> list[Piece]:
    said = _function(call)
    if said is None or not said.name:
        raise ProtocolError("The provider sent a tool call without a name.")
    began = CallBegan(call.id or made_id, said.name)
    return [began, *([CallSaid(said.arguments)] if said.arguments else []), CallEnded()]


def _function(call: ToolDelta) -> Function | None:
    """What a call says. Raises `ProtocolError` for one of another kind: only functions are offered."""
    if call.custom is not None:
        raise ProtocolError(_NOT_ASKED)
    return call.function


def _began(head: dict[str, Any]) -> Began:
    created = head.get("created")
    known = created if isinstance(created, int) else 0
    return Began(str(head.get("id") or ""), str(head.get("model") or ""), known)


def _says_one_thing(delta: Delta) -> bool:
    """True for a chunk with nothing but content, or nothing but calls."""
    return not (
        delta.refusal
        or delta.reasoning_content
        or delta.reasoning
        or delta.function_call is not None
        or delta.audio
        or delta.others
        or (delta.content and delta.tool_calls)
        or delta.provider_specific_fields
    )
