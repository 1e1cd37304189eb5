"""What a lane says, for people: its frames through the lens of their format."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from luthien_stream.core.lens import Decoder
from luthien_stream.errors import LuthienError
from luthien_stream.events.answer import ALL, Event, Text, Thinking, ToolCall
from luthien_stream.formats import LENSES


class Speech(Struct):
    """The text, thinking and tool calls of one answer. `note` says why it could not be read to its end."""

    text: str = ""
    thinking: str = ""
    tools: list[ToolCall] = field(default_factory=list)
    note: str = ""


class Listener:
    """Reads one lane as it comes. What cannot be read is silence, never an error."""

    def __init__(self, format: str, *, whole: bool = False) -> None:
        lens = LENSES.get(format)
        self.note = "" if lens else f"unknown format {format!r}"
        self._decoder: Decoder | None = None
        if lens:
            self._decoder = lens.body_decoder() if whole else lens.decoder(ALL)

    def hear(self, frame: bytes) -> list[Event]:
        """Return what is complete with this frame."""
        if self._decoder is None:
            return []
        try:
            return [item for item in self._decoder.frame(frame) if not isinstance(item, bytes)]
        except LuthienError as error:
            self.note, self._decoder = str(error), None
            return []


def speech(format: str, frames: Iterable[tuple[str, bytes]]) -> Speech:
    """Return what the frames, as (kind, bytes), say."""
    said, listener = Speech(), None
    for kind, frame in frames:
        listener = listener or Listener(format, whole=kind == "body")
        for event in listener.hear(frame):
            add(said, event)
    said.note = listener.note if listener else ""
    return said


def add(said: Speech, event: Event) -> None:
    """Add one event to what was said."""
    if isinstance(event, Text):
        said.text += event.text
    elif isinstance(event, Thinking):
        said.thinking += event.text
    elif isinstance(event, ToolCall):
        said.tools.append(event)


def one_line(events: Iterable[Event]) -> str:
    """Return events as one line: text in quotes, tool calls as they would be written."""
    said = Speech()
    for event in events:
        add(said, event)
    parts = [f'"{said.text}"'] if said.text else []
    parts += [f'thinking "{said.thinking}"'] if said.thinking else []
    return "  ".join([*parts, *(f"{tool.name}({tool.arguments})" for tool in said.tools)])
