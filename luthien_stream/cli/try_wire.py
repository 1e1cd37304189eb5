"""What a case has on the wire: which format a request or an answer is in, an answer's frames, and it put back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from luthien_stream.core.sse import Splitter, data_of, event_of, frame_of
from luthien_stream.errors import LuthienError
from luthien_stream.formats.json import dump, parse

ANTHROPIC, CHAT, RESPONSES = "anthropic_messages", "openai_chat", "openai_responses"
FORMATS = (CHAT, ANTHROPIC, RESPONSES)
_ANTHROPIC_FIELDS = frozenset({"system", "stop_sequences", "thinking", "top_k", "anthropic_version", "mcp_servers"})
_ANTHROPIC_BLOCKS = frozenset({"tool_use", "tool_result", "thinking", "redacted_thinking", "document", "image"})


class BadCase(LuthienError):
    """This is no case: give it `text`, `tool` and `args`, `request`, `response`, or `messages`."""


class Wire(Struct, frozen=True):
    """An answer as a provider would send it. `shape` is how it was given: `text`, `object`, or `list` of chunks."""

    format: str
    chunks: Sequence[bytes]
    streamed: bool = False
    shape: str = "object"


def request_format(request: Mapping[str, Any]) -> str:
    """The format that a request's fields speak of; `openai_chat` where they are common to all."""
    if "messages" not in request:
        return RESPONSES
    if _ANTHROPIC_FIELDS & request.keys():
        return ANTHROPIC
    if any(isinstance(tool, dict) and "input_schema" in tool for tool in _list(request.get("tools"))):
        return ANTHROPIC
    contents = [_list(turn.get("content")) for turn in _list(request["messages"]) if isinstance(turn, dict)]
    kinds = {part.get("type") for content in contents for part in content if isinstance(part, dict)}
    return ANTHROPIC if kinds & _ANTHROPIC_BLOCKS else CHAT


def answer_wire(answer: Any, format: str = "") -> Wire:
    """Read an answer: a body, the text of a stream, or the list of its chunks. Raises `BadCase`."""
    if isinstance(answer, str):
        return _from_text(answer, format)
    if isinstance(answer, list):
        if not answer or not all(isinstance(chunk, dict) for chunk in answer):
            raise BadCase("`response` must be a body, the text of a stream, or a list of its chunks as objects")
        spoken = format or _format_of(answer[0])
        return Wire(spoken, [_frame(spoken, chunk) for chunk in answer] + _closing(spoken), True, "list")
    if isinstance(answer, dict):
        return Wire(format or _format_of(answer), [dump(answer)])
    raise BadCase("`response` must be an object, a list of chunks, or text")


def answer_left(wire: Wire, frames: Sequence[bytes]) -> Any:
    """What is left of an answer, in the shape in which it was given; None for nothing."""
    if not frames:
        return None
    if wire.shape == "text":
        return b"".join(frames).decode(errors="replace")
    if wire.shape == "list":
        found = [data_of(frame) for frame in frames]
        return [parse(data) for data in found if data and data != b"[DONE]"]
    return parse(b"".join(frames))


def _from_text(text: str, format: str) -> Wire:
    raw = text.encode("utf-8", "surrogatepass")
    if text.lstrip().startswith("{"):
        try:
            body = parse(raw)
        except ValueError as error:
            raise BadCase(f"`response` is no JSON: {error}") from None
        return Wire(format or _format_of(body), [raw], shape="text")
    splitter = Splitter()
    frames = [*splitter.feed(raw)]
    rest = splitter.rest()
    frames += [rest + b"\n\n"] if rest.strip() else []
    for frame in frames:
        data = data_of(frame)
        if data and data.startswith(b"{"):
            return Wire(format or _format_of(_object(data), event_of(frame)), frames, True, "text")
    raise BadCase("`response` is neither a JSON body nor a stream of `data:` lines")


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        found = parse(data)
    except ValueError as error:
        raise BadCase(f"`response` has data that is no JSON: {error}") from None
    return found if isinstance(found, dict) else {}


def _format_of(body: Mapping[str, Any], event: str = "") -> str:
    """The format of an answer's body or first chunk. Raises `BadCase`."""
    kind = str(body.get("type") or event)
    if "choices" in body or str(body.get("object", "")).startswith("chat.completion"):
        return CHAT
    if kind.startswith("response.") or body.get("object") == "response":
        return RESPONSES
    if kind in ("message", "message_start", "ping") or "stop_reason" in body:
        return ANTHROPIC
    raise BadCase(f"`response` is in no known format: say which with `format`, one of {', '.join(FORMATS)}")


def _frame(format: str, chunk: Mapping[str, Any]) -> bytes:
    return frame_of(dump(chunk), "" if format == CHAT else str(chunk.get("type", "")))


def _closing(format: str) -> list[bytes]:
    return [frame_of(b"[DONE]")] if format == CHAT else []


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
