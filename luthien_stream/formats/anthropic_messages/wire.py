"""Anthropic's events as they stand on the wire: typed for reading, and as bytes for writing."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Struct

from luthien_stream.core.sse import data_of, event_of, frame_of
from luthien_stream.events.answer import StopReason
from luthien_stream.formats.errors import ProtocolError
from luthien_stream.formats.json import dump, edit, parse_as

FORMAT = "anthropic_messages"

THINKING = frozenset({"thinking", "redacted_thinking"})

REASONS: dict[str, StopReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "pause",
}
RAW_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "pause": "pause_turn",
}


class Delta(Struct):
    """The delta of a block, or of the message at its end."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    stop_reason: str | None = None


class Block(Struct):
    """A content block, as a start event or a body shows it."""

    type: str
    text: str | None = None
    thinking: str | None = None
    id: str = ""
    name: str = ""
    input: Any = None
    tool_use_id: str = ""


class Frame(Struct):
    """One event of a streamed answer."""

    type: str = ""
    index: int = -1
    delta: Delta | None = None
    content_block: Block | None = None
    message: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


class Start(Struct, frozen=True):
    """What begins a block: the provider's own frame, and the same without content, one object if it has none."""

    frame: bytes
    bare: bytes


_FRAME = msgspec.json.Decoder(Frame)
read_fast = _FRAME.decode
_INDEX = re.compile(
    rb"event: content_block_(?:delta|start|stop)\ndata: "
    rb'\{"type": ?"content_block_(?:delta|start|stop)", ?"index": ?(\d+)(?=[,}])'
)


def read(data: bytes) -> Frame:
    """The event in a frame's data. Raises `ProtocolError` where it is none."""
    try:
        return read_fast(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    try:
        return parse_as(_FRAME, data)
    except ValueError as error:
        raise ProtocolError(f"The provider sent an event that cannot be read: {error}.") from None


def wrap(type: str, fields: dict[str, Any]) -> bytes:
    """A frame made by us."""
    return frame_of(dump({"type": type, **fields}), type)


def reindexed(raw: bytes, index: int) -> bytes:
    """The frame with another block index; all other bytes stay where the frame begins as usual."""
    if found := _INDEX.match(raw):
        return raw[: found.start(1)] + b"%d" % index + raw[found.end(1) :]
    return edited(raw, ("index",), index)


def edited(raw: bytes, path: tuple[str, ...], value: Any) -> bytes:
    """The frame with one value of its JSON changed."""
    data = data_of(raw) or b"{}"
    return frame_of(edit(data, path, value), event_of(raw))


def is_block_frame(raw: bytes) -> bool:
    """True for a frame that carries a block's index."""
    if raw.startswith(b"event: content_block_"):
        return True
    data = data_of(raw)
    return bool(data) and read(data or b"{}").type.startswith("content_block_")


def raw_reason(reason: StopReason) -> str:
    """A stop reason in Anthropic's words."""
    return RAW_REASONS.get(reason, "end_turn")


ERROR_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error_fields(status: int, message: str, kind: str = "", call: str = "") -> dict[str, Any]:
    """An error in Anthropic's dialect, as it stands in a body and in a stream."""
    default = "api_error" if status >= 500 else "invalid_request_error"
    error = {"type": kind or ERROR_KINDS.get(status, default), "message": message}
    return {"type": "error", "error": error, **({"request_id": call} if call else {})}


def error_frame(status: int, message: str, kind: str = "", call: str = "") -> bytes:
    """An error inside a stream that has begun."""
    return frame_of(dump(error_fields(status, message, kind, call)), "error")
