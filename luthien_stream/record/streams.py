"""An answer alone as a recorded call: a list of chunks, or the bytes of a stream, in any of the formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from luthien_stream.core.sse import Splitter, data_of, frame_of
from luthien_stream.errors import LuthienError
from luthien_stream.record.lanes import Record
from luthien_stream.record.made import call_id, made_record
from luthien_stream.record.transcripts import BEGINNING_US

_ASKED = [{"role": "user", "content": "(the request was not recorded)"}]


class BadStream(LuthienError):
    """This is no answer of a provider: a list of its chunks as JSON objects, or the text of its event stream."""


def of_chunks(chunks: Sequence[Mapping[str, Any]], name: str) -> Record:
    """Return a list of chunks as a call. Raises `BadStream`."""
    format = _format_of(chunks[0]) if chunks else ""
    if not format:
        raise BadStream(f"{name}: the first chunk is of no known format")
    frames = [_frame(format, chunk) for chunk in chunks]
    if format == "openai_chat":
        frames.append(b"data: [DONE]\n\n")
    return _record(name, format, frames, chunks[0])


def of_sse(data: bytes, name: str) -> Record:
    """Return the bytes of an event stream as a call. Raises `BadStream`."""
    splitter = Splitter()
    frames = splitter.feed(data)
    for frame in frames:
        said = data_of(frame)
        if said and said != b"[DONE]":
            try:
                first = msgspec.json.decode(said, type=dict[str, Any])
            except msgspec.MsgspecError as error:
                raise BadStream(f"{name}: its first event is no JSON: {error}") from error
            format = _format_of(first)
            if format:
                return _record(name, format, frames, first)
    raise BadStream(f"{name}: no event of a known format")


def _record(name: str, format: str, frames: Sequence[bytes], first: Mapping[str, Any]) -> Record:
    inner = first.get("message") or first.get("response") or {}
    model = str(first.get("model") or inner.get("model") or "unknown")
    created = first.get("created") or inner.get("created_at") or 0
    time = int(created * 1_000_000) if isinstance(created, int | float) and created > 0 else BEGINNING_US
    body = msgspec.json.encode(
        {"model": model, "max_tokens": 4096, "messages": _ASKED, "input": _ASKED, "stream": True}
    )
    return made_record(call_id(time, name, *frames), time, format, body, frames, model=model, session=name)


def _frame(format: str, chunk: Mapping[str, Any]) -> bytes:
    event = "" if format == "openai_chat" else str(chunk.get("type", ""))
    return frame_of(msgspec.json.encode(chunk), event)


def _format_of(chunk: Mapping[str, Any]) -> str:
    if "choices" in chunk or str(chunk.get("object", "")).startswith("chat.completion"):
        return "openai_chat"
    kind = str(chunk.get("type", ""))
    if kind.startswith("response."):
        return "openai_responses"
    return "anthropic_messages" if kind in ("message_start", "ping") else ""
