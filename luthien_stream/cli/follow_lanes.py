"""Both lanes of one call as they grow: what the model said, and what was delivered. Pure: events in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from luthien_stream.cli.plain import printable, size
from luthien_stream.events import log
from luthien_stream.events.answer import Event, Text, Thinking, ToolCall
from luthien_stream.record.filter import Facts
from luthien_stream.record.speech import Listener
from luthien_stream.tail.reading import Seen

Side = Literal["model", "client", "call"]


class Said(Struct, frozen=True):
    """What a lane says now, or a remark on the call. `open`: the lane's next text goes on where this ends."""

    side: Side
    text: str
    open: bool = False


class Lanes:
    """Listens to both lanes of a call."""

    def __init__(self) -> None:
        self._final_by = ""
        self._listeners: dict[Side, Listener] = {}
        self._unreadable: set[Side] = set()
        self.call = ""
        self.left = False
        """Whether the client has its answer, or is gone."""
        self._ends: set[Side] = set()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come that is to be shown."""
        return self.left and "client" in self._ends

    def hear(self, seen: Seen, facts: Facts) -> Sequence[Said]:
        """Take the next event of the call."""
        event = seen.event
        self.call = event.call
        match event:
            case log.RequestReceived():
                self._final_by = event.slip.final_by
                return [Said("call", f"{event.model}  {event.path}")]
            case log.ChunkReceived() if self._final_by == "edge":
                return [*self._said("model", event, facts), *self._said("client", event, facts)]
            case log.ChunkReceived():
                return self._said("model", event, facts)
            case log.ChunkReleased() if self._final_by in ("", seen.src):
                return self._said("client", event, facts)
            case log.FrameInjected():
                return [Said("client", f"[the edge wrote {size(len(event.frame))}: {event.why}]")]
            case log.VerdictReached():
                return [Said("call", _words("verdict", event.policy, event.kind, event.reason or event.shown))]
            case log.ResponseDelivered():
                self.left = True
                return [Said("call", _words("delivered", event.left, size(event.bytes)))]
            case log.ResponseCompleted() | log.ResponseFailed() | log.ResponseAborted():
                return self._end(event)
        return []

    def _end(self, event: log.Terminal) -> list[Said]:
        side: Side = "client" if event.lane == "final" else "model"
        if side in self._ends:
            return []  # the edge repeats what the last stage says
        self._ends.add(side)
        how = event.reason if isinstance(event, log.ResponseCompleted | log.ResponseAborted) else event.error
        return [Said(side, f"[{_words('ended', how)}]")]

    def _said(self, side: Side, event: log.ChunkReceived | log.ChunkReleased, facts: Facts) -> list[Said]:
        if side not in self._listeners:
            if not facts.format:
                return self._cannot_read(side, "the call began before what the log keeps")
            self._listeners[side] = Listener(facts.format[0], whole=event.kind == "body")
        listener = self._listeners[side]
        said = [_piece(side, each) for each in listener.hear(event.frame)]
        if listener.note:
            return self._cannot_read(side, listener.note)
        return [each for each in said if each is not None]

    def _cannot_read(self, side: Side, why: str) -> list[Said]:
        if side in self._unreadable:
            return []
        self._unreadable.add(side)
        return [Said(side, f"[not readable here: {why}]")]


def _piece(side: Side, event: Event) -> Said | None:
    match event:
        case Text(text=text) if text:
            return Said(side, text, open=True)
        case Thinking(text=text) if text:
            return Said(side, f"[thinking] {text}")
        case ToolCall():
            return Said(side, f"{event.name}({event.arguments})")
    return None


def _words(*words: str) -> str:
    return "  ".join(word for word in words if word)


class Transcript:
    """A lane as it is shown: paragraphs that grow."""

    def __init__(self) -> None:
        self._paragraphs: list[str] = []
        self._open = False

    def add(self, said: Said) -> None:
        """Take what comes."""
        if self._open and said.open:
            self._paragraphs[-1] += said.text
        else:
            self._paragraphs.append(said.text)
        self._open = said.open

    def lines(self, width: int, most: int) -> list[str]:
        """The newest lines, wrapped, without what a terminal would obey."""
        lines: list[str] = []
        for paragraph in reversed(self._paragraphs):
            wrapped = [piece for line in paragraph.split("\n") for piece in _wrap(printable(line), width)]
            lines[:0] = wrapped
            if len(lines) >= most:
                break
        return lines[-most:]


def _wrap(line: str, width: int) -> list[str]:
    return [line[at : at + width] for at in range(0, len(line), width)] or [""]
