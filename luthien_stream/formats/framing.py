"""What both framers share: where an event came from, and the two bounded lists that a framer keeps."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from luthien_stream.core.lens import Violation
from luthien_stream.core.sse import data_of
from luthien_stream.events.answer import End, Event, Text, Thinking, ToolCall
from luthien_stream.formats.errors import FrameError
from luthien_stream.formats.json import parse

HELD_LIMIT = 1 << 20
"""Characters of policies' text that a framer keeps until it can be placed."""
_NOTES_LIMIT = 256
_TEXT_COST = 64


def frames_of(event: Event) -> tuple[bytes, ...]:
    """The provider's frames that an event came from, none if a policy made it."""
    src = event.src
    if src is None:
        return ()
    return (src,) if isinstance(src, bytes) else src.frames


def is_ours(event: Event, format: str) -> bool:
    """True if an event came from the answer that is being framed: its part and bytes mean something here."""
    part = event.part
    return part is not None and part.format == format and part.origin == 0


def made(event: Event) -> Event:
    """The event without its link to bytes and part, as if a policy had made it."""
    match event:
        case Text():
            return Text(event.text, refusal=event.refusal)
        case Thinking():
            return Thinking(event.text)
        case ToolCall():
            return ToolCall(event.id, event.name, event.arguments, kind=event.kind)
        case End():
            return End(event.reason, error=event.error)
    return replace(event, part=None, src=None)


def check_arguments(call: ToolCall) -> None:
    """Refuse a call made by a policy that no client could read. Raises `FrameError`."""
    if call.kind == "custom":
        return
    try:
        arguments = parse(call.arguments.encode("utf-8", "surrogatepass")) if call.arguments else None
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise FrameError(f"The arguments for {call.name} must be a JSON object.")


class Notes:
    """What a framer dropped or refused, until somebody asks."""

    def __init__(self) -> None:
        self._notes: list[Violation] = []

    def add(self, rule: str, message: str) -> None:
        """Keep a note; the first ones are enough."""
        if len(self._notes) < _NOTES_LIMIT:
            self._notes.append(Violation(rule, message))

    def take(self) -> list[Violation]:
        """The notes since the last call."""
        notes, self._notes = self._notes, []
        return notes


class Waiting:
    """Text made by policies that cannot be placed yet. Raises `FrameError` past its bound."""

    def __init__(self) -> None:
        self._texts: list[Text] = []
        self._size = 0

    def add(self, event: Text) -> None:
        """Keep a text until it can be placed."""
        self._size += len(event.text) + _TEXT_COST
        if self._size > HELD_LIMIT:
            raise FrameError("Policies wrote more than 1 MiB of text before the model's thinking was over.")
        self._texts.append(event)

    def take(self) -> list[Text]:
        """All texts kept; none are left."""
        texts, self._texts, self._size = self._texts, [], 0
        return texts


def parsed_frame(raw: bytes) -> dict[str, Any]:
    """The JSON object in a frame or body, empty if there is none."""
    data = raw if raw.lstrip().startswith(b"{") else data_of(raw)
    try:
        found = parse(data or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
