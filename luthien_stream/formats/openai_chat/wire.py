"""OpenAI's chat chunks as they stand on the wire: typed for reading, and as bytes for writing."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field

from luthien_stream.core.sse import frame_of
from luthien_stream.events.answer import StopReason
from luthien_stream.formats.errors import ProtocolError
from luthien_stream.formats.json import dump, parse

FORMAT = "openai_chat"
DONE = b"data: [DONE]\n\n"
HEAD = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
CARRIERS = frozenset({"role", "content", "refusal", "reasoning_content", "reasoning", "tool_calls", "function_call"})
"""The fields of a delta or message that events speak for; all others are opaque."""
REASONING = ("reasoning_content", "reasoning")
REPEATS = "reasoning_details"
"""Says the reasoning again: goes where that goes, and is dropped if that is edited."""

REASONS: dict[str, StopReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}


_OTHERS = " others "


class Function(Struct):
    """The name of a call, and a piece of its arguments."""

    name: str | None = None
    arguments: str | None = None


class Custom(Struct):
    """The name of a call with free input, and a piece of it."""

    name: str | None = None
    input: str | None = None


class ToolDelta(Struct):
    """A piece of a tool call."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: Function | None = None
    custom: Custom | None = None


class Delta(Struct, forbid_unknown_fields=True):
    """The delta of a choice; what is not named here is read the long way and found in `others`."""

    content: str | None = None
    role: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolDelta] | None = None
    function_call: Function | None = None
    audio: Any = None
    provider_specific_fields: Any = None
    others: dict[str, Any] | None = field(default=None, name=_OTHERS)


class Choice(Struct):
    """One choice of a chunk."""

    index: int = 0
    delta: Delta | None = None
    finish_reason: str | None = None


class Chunk(Struct):
    """One chunk of a streamed answer."""

    choices: list[Choice] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_CHUNK = msgspec.json.Decoder(Chunk)
read_fast = _CHUNK.decode
_KNOWN = frozenset(name for name in Delta.__struct_encode_fields__)


def read(data: bytes) -> Chunk:
    """The chunk in a frame's data. Raises `ProtocolError` where it is none."""
    try:
        return read_fast(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    try:
        return _read_slowly(data)
    except (ValueError, TypeError, AttributeError) as error:
        raise ProtocolError(f"The provider sent a chunk that cannot be read: {error}.") from None


def _read_slowly(data: bytes) -> Chunk:
    """Read a chunk whose deltas have fields that are not named here, or that is spelled in an odd way."""
    found = parse(data)
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    others: list[dict[str, Any]] = []
    for choice in found.get("choices") or ():
        delta = choice.get("delta") or {}
        others.append({name: delta.pop(name) for name in list(delta) if name not in _KNOWN or name == _OTHERS})
    chunk = msgspec.convert(found, Chunk)
    for choice, other in zip(chunk.choices or (), others, strict=True):
        if choice.delta is not None:
            choice.delta.others = {name: value for name, value in other.items() if value} or None
    return chunk


def opaque_names(delta: Delta) -> list[str]:
    """The fields of a delta that no event speaks for."""
    names = [name for name in ("audio", "provider_specific_fields") if getattr(delta, name)]
    thinks = delta.reasoning_content or delta.reasoning
    return names + [name for name in delta.others or () if not (thinks and name == REPEATS)]


def is_done(data: bytes) -> bool:
    """True for the data of the last frame."""
    return data.strip() == b"[DONE]"


def head_of(data: bytes) -> dict[str, Any]:
    """What identifies an answer."""
    known = parse(data)
    return {name: known[name] for name in HEAD if name in known}


def made_chunk(head: dict[str, Any] | None, delta: dict[str, Any], finish: str | None = None) -> bytes:
    """A frame made by us, with the identity of the answer."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return frame_of(dump({**whole_head(head), "choices": [choice]}))


def made_usage(head: dict[str, Any] | None, usage: dict[str, Any]) -> bytes:
    """A frame made by us with token counts."""
    return frame_of(dump({**whole_head(head), "choices": [], "usage": usage}))


def whole_head(head: dict[str, Any] | None) -> dict[str, Any]:
    """An answer's identity with what every chunk must have."""
    plain = {"id": "chatcmpl-luthien", "object": "chat.completion.chunk", "created": 0, "model": ""}
    return {**plain, **(head or {})}


def raw_reason(reason: StopReason, legacy: bool) -> str:
    """A finish reason in OpenAI's words."""
    if reason == "tool_calls":
        return "function_call" if legacy else "tool_calls"
    return reason if reason in REASONS else "stop"


def error_fields(status: int, message: str, kind: str = "", code: str = "", param: str = "") -> dict[str, Any]:
    """An error in OpenAI's dialect, as it stands in a body and in a stream."""
    kinds = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
    default = "server_error" if status >= 500 else "invalid_request_error"
    error = {
        "message": message,
        "type": kind or kinds.get(status, default),
        "param": param or None,
        "code": code or None,
    }
    return {"error": error}


def error_frame(status: int, message: str, kind: str = "", code: str = "") -> bytes:
    """An error inside a stream that has begun."""
    return frame_of(dump(error_fields(status, message, kind, code)))
