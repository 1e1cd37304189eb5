"""The last event of an answer, or the state of an unstreamed one: why it ended, and what it counts and repeats."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from luthien_stream.events.answer import StopReason
from luthien_stream.formats.errors import ProtocolError
from luthien_stream.formats.json import dump, edit, fields, items, parse_as
from luthien_stream.formats.openai_responses.items import same
from luthien_stream.formats.openai_responses.wire import INCOMPLETE, RAW_INCOMPLETE


class _Details(Struct):
    reason: str | None = None


class Ending(Struct):
    """What is read of a response."""

    status: str | None = None
    usage: dict[str, Any] | None = None
    incomplete_details: _Details | None = None
    error: Any = None

    @property
    def raw_reason(self) -> str:
        """Why it ended, in the provider's words."""
        details = self.incomplete_details
        return (details.reason if details is not None else None) or self.status or "completed"

    def reason(self, incomplete: bool, calls: int) -> StopReason:
        """Why it ended. A response does not say that it calls tools: its items do."""
        if incomplete:
            return INCOMPLETE.get(self.raw_reason, "length")
        return "tool_calls" if calls else "stop"


_ENDING = msgspec.json.Decoder(Ending)


def read_ending(raw: bytes) -> Ending:
    """The end in a response. Raises `ProtocolError` where it is none."""
    try:
        return parse_as(_ENDING, raw)
    except ValueError as error:
        raise ProtocolError(f"The provider's answer is no response: {error}.") from None


def error_said(error: Any, message: str | None = None) -> str:
    """An error in words."""
    said = error if isinstance(error, dict) else {}
    kind = said.get("code") or said.get("type") or "error"
    return f"{kind}: {said.get('message') or message or 'the provider failed'}"


def output_of(response: bytes) -> list[bytes]:
    """The items of a response, unparsed; none where it has no such list."""
    try:
        found = fields(response).get("output")
        return [bytes(one) for one in items(found)] if found is not None and bytes(found) != b"null" else []
    except ValueError as error:
        raise ProtocolError(f"The provider sent a response with output that cannot be read: {error}.") from None


def is_empty(response: bytes) -> bool:
    """True for a response without output."""
    return not output_of(response)


def with_output(response: bytes, released: list[bytes], changed: bool, silent: bool) -> bytes:
    """The response with what was released for its output; the very same if it says the same.

    Some providers do not repeat in the end what they streamed: `silent` is True if that is what an empty output means.
    """
    said = output_of(response)
    if (silent and not said) or (not changed and same(said, released)):
        return response
    known = {**fields(response), "output": Raw(dump([Raw(one) for one in released]))}
    known.pop("output_text", None)
    return dump(known)


def with_reason(response: bytes, reason: StopReason) -> bytes:
    """The response with another reason for its end."""
    incomplete = RAW_INCOMPLETE.get(reason)
    response = edit(response, ("status",), "incomplete" if incomplete else "completed")
    return edit(response, ("incomplete_details",), {"reason": incomplete} if incomplete else None)
