"""OpenAI's responses, read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from luthien_stream.core.lens import Violation
from luthien_stream.core.sse import data_of
from luthien_stream.events.answer import StopReason
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
from luthien_stream.formats.convert.answer.usage import from_responses
from luthien_stream.formats.convert.seal import Seal
from luthien_stream.formats.errors import ProtocolError
from luthien_stream.formats.framing import Notes
from luthien_stream.formats.json import parse_as

FORMAT = "openai_responses"
_CALLS = {"function_call": "function", "custom_tool_call": "custom"}
_NEW_THOUGHT = "\n\n"
"""Between two summaries of one piece of reasoning."""


class _Text(Struct):
    type: str = ""
    text: str = ""
    refusal: str = ""


class _Item(Struct):
    type: str = ""
    id: str = ""
    call_id: str = ""
    name: str = ""
    arguments: str | None = None
    input: str | None = None
    content: list[_Text] | None = None
    summary: list[_Text] | None = None
    encrypted_content: str | None = None


class _Incomplete(Struct):
    reason: str | None = None


class _Response(Struct):
    id: str = ""
    model: str = ""
    created_at: float = 0
    status: str | None = None
    output: list[_Item] = []
    error: Any = None
    incomplete_details: _Incomplete | None = None
    usage: dict[str, Any] | None = None


class _Frame(Struct):
    type: str = ""
    delta: str = ""
    output_index: int = 0
    summary_index: int = 0
    item: _Item | None = None
    response: _Response | None = None
    error: Any = None
    code: str | None = None
    message: str | None = None


_FRAME = msgspec.json.Decoder(_Frame)
_RESPONSE = msgspec.json.Decoder(_Response)
_read_fast = _FRAME.decode
_SILENT: Sequence[Piece] = (Silent(),)
_REPEATS = frozenset(
    {
        "response.content_part.added",
        "response.content_part.done",
        "response.output_text.done",
        "response.refusal.done",
        "response.function_call_arguments.done",
        "response.custom_tool_call_input.done",
        "response.reasoning_summary_part.done",
        "response.reasoning_summary_text.done",
        "response.reasoning_text.done",
    }
)
"""Events that say again what others said."""
_TEXT = "response.output_text.delta"
_FIRST = ("response.created", "response.failed", "error")


class ResponsesReader:
    """Frames of one streamed answer to pieces."""

    def __init__(self) -> None:
        self._begun = False
        self._over = False
        self._said: set[int] = set()  # the items of which something came before their end
        self._calls = CallOrder()
        self._called = False
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
        if frame.type == _TEXT and frame.delta and self._begun and not self._over and not self._calls:
            self._said.add(frame.output_index)
            return (Said(frame.delta),)
        return tuple(self._other(frame))

    def close(self) -> Sequence[Piece]:
        """The stream ended."""
        return ()

    def notes(self) -> list[Violation]:
        """What was dropped since the last call."""
        return self._notes.take()

    def _other(self, frame: _Frame) -> Iterator[Piece]:
        if frame.type in _REPEATS or frame.type in ("response.in_progress", "response.queued"):
            return
        if frame.type in ("keepalive", "ping"):
            yield Silent()
            return
        if self._over:
            raise ProtocolError(f"The provider sent {frame.type} after the end of its answer.")
        if not self._begun and frame.type not in _FIRST:
            raise ProtocolError(f"The provider sent {frame.type or 'an event'} before its response began.")
        match frame.type:
            case "response.created":
                yield from self._begin(frame.response or _Response())
            case "response.output_item.added" if frame.item is not None:
                yield from self._added(frame.item, frame.output_index)
            case "response.output_item.done" if frame.item is not None:
                yield from self._done(frame.item, frame.output_index)
            case "response.completed" | "response.incomplete" | "response.failed":
                self._over = True
                yield from self._calls.end_all()
                yield from _ending(frame.response or _Response(), self._called)
            case "error":
                self._over = True
                yield failure_of(0, frame.error or {"code": frame.code, "message": frame.message})
            case _:
                yield from self._delta(frame)

    def _begin(self, response: _Response) -> Iterator[Piece]:
        if self._begun:
            raise ProtocolError("The provider began its response twice.")
        self._begun = True
        yield _began(response)

    def _delta(self, frame: _Frame) -> Iterator[Piece]:
        index, text = frame.output_index, frame.delta
        match frame.type:
            case "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta":
                if self._calls.is_another(index, ""):
                    raise ProtocolError("The provider sent a piece of a call that it did not begin.")
                yield from self._calls.add(index, text)
                return
            case "response.output_text.delta":
                piece: Piece = Said(text)
            case "response.refusal.delta":
                piece = Said(text, refusal=True)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                piece = Thought(text)
            case "response.reasoning_summary_part.added" if frame.summary_index and index in self._said:
                piece, text = Thought(_NEW_THOUGHT), _NEW_THOUGHT
            case "response.reasoning_summary_part.added":
                return
            case kind:
                self._notes.add("no_counterpart", f"{kind or 'An event without a type'} was dropped.")
                return
        if text:
            self._said.add(index)
            yield from self._calls.end_all()
            yield piece

    def _added(self, item: _Item, index: int) -> Iterator[Piece]:
        if item.type in _CALLS:
            self._called = True
            yield from self._calls.begin(index, _call_began(item))

    def _done(self, item: _Item, index: int) -> Iterator[Piece]:
        if item.type not in _CALLS:
            yield from self._calls.end_all()
            yield from _item(item, index in self._said, self._notes)
            return
        if self._calls.is_another(index, ""):
            yield from self._added(item, index)
        if not self._calls.said(index):
            yield from self._calls.add(index, _arguments(item))
        yield from self._calls.end(index)


def read_response(body: bytes, notes: Notes) -> list[Piece]:
    """The pieces of an unstreamed answer. Raises `ProtocolError` where it is none."""
    try:
        response = parse_as(_RESPONSE, body)
    except ValueError as error:
        raise ProtocolError(f"The provider's answer is no response: {error}.") from None
    if response.status is None:
        raise ProtocolError("The provider's answer is no response: it has no status.")
    pieces: list[Piece] = [_began(response)]
    called = False
    for item in response.output:
        if item.type in _CALLS:
            called = True
            text = _arguments(item)
            pieces += [_call_began(item), *([CallSaid(text)] if text else []), CallEnded()]
        else:
            pieces += _item(item, False, notes)
    return [*pieces, *_ending(response, called)]


def _read(data: bytes) -> _Frame:
    try:
        return parse_as(_FRAME, data)
    except ValueError as error:
        raise ProtocolError(f"The provider sent an event that cannot be read: {error}.") from None


def _began(response: _Response) -> Began:
    return Began(response.id, response.model, int(response.created_at))


def _call_began(item: _Item) -> CallBegan:
    if not item.name:
        raise ProtocolError("The provider sent a tool call without a name.")
    return CallBegan(item.call_id or item.id, item.name, "custom" if item.type == "custom_tool_call" else "function")


def _arguments(item: _Item) -> str:
    return (item.input if item.type == "custom_tool_call" else item.arguments) or ""


def _item(item: _Item, said: bool, notes: Notes) -> Iterator[Piece]:
    """What the end of an item says, with its content if nothing of that came before."""
    match item.type:
        case "message":
            for part in () if said else item.content or ():
                if text := part.text or part.refusal:
                    yield Said(text, refusal=part.type == "refusal")
            yield SaidAll()
        case "reasoning":
            texts = [part.text for part in (*(item.summary or ()), *(item.content or ())) if part.text]
            if texts and not said:
                yield Thought(_NEW_THOUGHT.join(texts))
            yield Sealed(Seal(FORMAT, item.encrypted_content or ""))
        case kind:
            notes.add("no_counterpart", f"An item of type {kind or 'none'} was dropped.")


def _ending(response: _Response, called: bool) -> Iterator[Piece]:
    if response.status == "failed" or response.error:
        yield failure_of(0, response.error or {"message": "The provider failed"})
        return
    reason: StopReason = "tool_calls" if called else "stop"
    if response.incomplete_details is not None and response.incomplete_details.reason:
        filtered = response.incomplete_details.reason == "content_filter"
        reason = "content_filter" if filtered else "length"
    yield Ended(reason, from_responses(response.usage))
