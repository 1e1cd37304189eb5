"""Frames and bodies of our own in OpenAI's responses dialect: calls, responses, identifiers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Raw

from luthien_stream.core.lens import Request
from luthien_stream.events.answer import StopReason
from luthien_stream.formats.json import dump, edit, fields, parse
from luthien_stream.formats.marks import CUT, OWN
from luthien_stream.formats.openai_responses.ending import with_reason
from luthien_stream.formats.openai_responses.items import read_item
from luthien_stream.formats.openai_responses.wire import ITEM_ADDED, ITEM_DONE

NO_USAGE = {
    "input_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 0,
}
_ECHOED = ("instructions", "max_output_tokens", "metadata", "previous_response_id", "store", "temperature", "top_p")
"""What a response says again of its request."""
_STREAMED = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}
"""The calls whose arguments have events of their own."""


def made_id(head: bytes | None, prefix: str, position: int) -> str:
    """An identifier of an item of our own; `position` is the item's."""
    known = parse(head).get("id") if head is not None else None
    return f"{prefix}{OWN}{str(known or '').removeprefix('resp_')}_{position:02d}"


def own_id(head: bytes | None, id: str, position: int) -> str:
    """An identifier of our own for an item of the provider's, of the same kind."""
    return made_id(head, id.partition("_")[0], position)


def call_frames(item: bytes, position: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Type and fields of the frames that a call is streamed in."""
    found = read_item(item)
    field, event = _STREAMED.get(found.type, ("", ""))
    begun = edit(item, ("status",), "in_progress") if "status" in fields(item) else item
    if not event:
        yield ITEM_ADDED, {"output_index": position, "item": Raw(begun)}
        yield ITEM_DONE, {"output_index": position, "item": Raw(item)}
        return
    said, place = parse(item).get(field) or "", {"item_id": found.id or "", "output_index": position}
    yield ITEM_ADDED, {"output_index": position, "item": Raw(edit(begun, (field,), ""))}
    yield f"{event}.delta", {**place, "delta": said}
    yield f"{event}.done", {**place, field: said}
    yield ITEM_DONE, {"output_index": position, "item": Raw(item)}


def made_reasoning(begun: bytes, text: str) -> bytes:
    """A reasoning item that a policy ended before the model did: marked, for its provider to be spared it."""
    item = edit(begun, ("summary",), [{"type": "summary_text", "text": text}] if text else [])
    item = edit(item, ("encrypted_content",), CUT)
    return edit(item, ("status",), "incomplete")


def made_response(
    head: bytes | None, items: Sequence[bytes], reason: StopReason, usage: dict[str, Any] | None
) -> bytes:
    """The whole response with these items, for an answer that a policy ended."""
    begun = head or dump({"id": "resp_luthien", "object": "response", "created_at": 0, "model": ""})
    response = with_reason(edit(begun, ("output",), [Raw(item) for item in items]), reason)
    return edit(response, ("usage",), usage) if usage is not None else response


def refused_head(request: Request, call: str) -> bytes:
    """The beginning of a response that no provider made."""
    head = {
        "id": f"resp_{call.replace('-', '')}",
        "object": "response",
        "created_at": 0,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": request.model,
        "output": [],
        "parallel_tool_calls": request.get("parallel_tool_calls") is not False,
        "tool_choice": request.get("tool_choice") or "auto",
        "tools": request.get("tools") or [],
        "usage": None,
    }
    return dump({**head, **{name: request.get(name) for name in _ECHOED}})
