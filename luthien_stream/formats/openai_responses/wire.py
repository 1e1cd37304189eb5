"""OpenAI's response events as they stand on the wire: typed for reading, and as bytes for writing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from luthien_stream.core.sse import data_of, event_of, frame_of
from luthien_stream.events.answer import StopReason
from luthien_stream.formats.errors import ProtocolError
from luthien_stream.formats.json import dump, edit, fields, parse, parse_as

FORMAT = "openai_responses"
TEXT_DELTAS = {"response.output_text.delta": "text", "response.refusal.delta": "refusal"}
TEXT_DONE = {"response.output_text.done": "text", "response.refusal.done": "refusal"}
CONTENT_ADDED, CONTENT_DONE = "response.content_part.added", "response.content_part.done"
ITEM_ADDED, ITEM_DONE = "response.output_item.added", "response.output_item.done"
THOUGHT_DELTAS = frozenset({"response.reasoning_summary_text.delta", "response.reasoning_text.delta"})
ANNOTATION = "response.output_text.annotation.added"
CONTENT = {"output_text": "text", "refusal": "refusal"}
"""The kinds of content that are text, by the content's type; each has its text in the field of its kind."""
LIFE = frozenset({"response.created", "response.queued", "response.in_progress"})
OF_ITEMS = frozenset(
    {
        *TEXT_DELTAS,
        *TEXT_DONE,
        *THOUGHT_DELTAS,
        CONTENT_ADDED,
        CONTENT_DONE,
        ITEM_DONE,
        ANNOTATION,
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
        "response.reasoning_summary_text.done",
        "response.reasoning_text.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.custom_tool_call_input.delta",
        "response.custom_tool_call_input.done",
    }
)
"""What means nothing outside its item."""
SILENT = frozenset({"keepalive", "ping"})
ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "error"})
INCOMPLETE: dict[str, StopReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}
RAW_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_NUMBERS = {
    name: re.compile(rb'"%b": ?(-?\d+)(?=[,} ])' % name.encode())
    for name in ("sequence_number", "output_index", "content_index")
}


class Frame(Struct):
    """One event of a streamed answer."""

    type: str = ""
    sequence_number: int | None = None
    output_index: int = -1
    content_index: int = -1
    command_index: int = 0
    delta: Any = None
    item_id: str | None = None
    text: str | None = None
    refusal: str | None = None
    error: Any = None
    code: str | None = None
    message: str | None = None


class Start(Struct, frozen=True):
    """Where a part of an answer begins. `item` is a whole item's JSON, or the frame that adds a streamed one."""

    item: bytes
    content: int = 0
    """The position among the item's contents."""
    part: bytes = b""
    """The frame that adds the content."""
    id: str = ""
    whole: bool = False
    """The part's events stand for all of the item's frames, since its text was never streamed."""


_FRAME = msgspec.json.Decoder(Frame)
read_fast = _FRAME.decode


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


def is_done(data: bytes) -> bool:
    """True for the last frame of servers that end a stream as chat streams end."""
    return data.strip() == b"[DONE]"


def frame_in(raw: bytes) -> Frame | None:
    """The event in a frame, None if it has none."""
    data = data_of(raw)
    return None if not data or is_done(data) else read(data)


def inside(raw: bytes, name: str) -> bytes:
    """What a frame has under a name, unparsed. Raises `ProtocolError` where it has no such object."""
    try:
        found = bytes(fields(data_of(raw) or b"{}")[name])
        fields(found)
    except (KeyError, ValueError):
        raise ProtocolError(f"The provider sent an event without its `{name}`.") from None
    return found


def has(raw: bytes, name: str) -> bool:
    """True if the event in a frame has such a field."""
    return name in fields(data_of(raw) or b"{}")


def wrap(type: str, **more: Any) -> bytes:
    """A frame made by us."""
    return frame_of(dump({"type": type, **more}), type)


def changed(raw: bytes, values: Mapping[str, Any]) -> bytes:
    """The frame with these fields; what else it has stays byte for byte."""
    known: dict[str, Any] = {**fields(data_of(raw) or b"{}")}
    known.update(values)
    known.pop("obfuscation", None)
    return frame_of(dump(known), event_of(raw))


def renamed(raw: bytes, ids: Mapping[str, str]) -> bytes:
    """The frame with other ids of items where it names these."""
    frame = frame_in(raw)
    if frame is None:
        return raw
    if frame.item_id is not None and frame.item_id in ids:
        return changed(raw, {"item_id": ids[frame.item_id]})
    if frame.type not in (ITEM_ADDED, ITEM_DONE):
        return raw
    item = inside(raw, "item")
    return changed(raw, {"item": Raw(with_id(item, ids))})


def with_id(item: bytes, ids: Mapping[str, str]) -> bytes:
    """The item with another id, if it has one of these."""
    new = ids.get(str(parse(item).get("id"))) if ids else None
    return item if new is None else edit(item, ("id",), new)


def renumbered(raw: bytes, numbers: Mapping[str, int]) -> bytes:
    """The frame with other numbers where it has them; all other bytes stay where each stands there only once."""
    frame = frame_in(raw)
    if frame is None:
        return raw
    wanted = {name: value for name, value in numbers.items() if _has(frame, name, value)}
    if not wanted:
        return raw
    new = raw
    for name, value in wanted.items():
        found = _NUMBERS[name].findall(new)
        if len(found) == 1:
            new = _NUMBERS[name].sub(b'"%b":%d' % (name.encode(), value), new)
    after = frame_in(new)
    if after is not None and all(getattr(after, name) == value for name, value in wanted.items()):
        return new
    known: dict[str, Any] = {**fields(data_of(raw) or b"{}")}
    return frame_of(dump({**known, **wanted}), event_of(raw))


def _has(frame: Frame, name: str, value: int) -> bool:
    """True if the frame has the number, and another one than this."""
    known = getattr(frame, name)
    absent = None if name == "sequence_number" else -1
    return bool(known != absent and known != value)


def error_fields(status: int, message: str, kind: str = "", code: str = "", param: str = "") -> dict[str, Any]:
    """An error in OpenAI's dialect, as it stands in a body."""
    kinds = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
    default = "server_error" if status >= 500 else "invalid_request_error"
    type = kind or kinds.get(status, default)
    return {"message": message, "type": type, "param": param or None, "code": code or None}


def retyped(raw: bytes, type: str, response: bytes) -> bytes:
    """The frame as one of another type, about this response."""
    known: dict[str, Any] = {**fields(data_of(raw) or b"{}"), "type": type, "response": Raw(response)}
    return frame_of(dump(known), type if event_of(raw) else "")


def error_frame(status: int, message: str, kind: str = "", code: str = "", number: int = 0) -> bytes:
    """An error inside a stream that has begun: flat as documented, and as an object, which is what clients raise on."""
    error = error_fields(status, message, kind, code)
    said = {"code": error["code"], "message": message, "param": None}
    return wrap("error", sequence_number=number, **said, error=error)
