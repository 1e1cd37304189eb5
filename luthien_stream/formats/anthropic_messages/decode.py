"""Anthropic's streamed answers to events: the provider's grammar is kept here, one block open at a time.

A text or thinking block's start waits for the first delta; a tool call is gathered whole; message_delta waits for
message_stop. Blocks of kinds that no policy sees flow by frame by frame, as mute frames.
"""

from __future__ import annotations

from collections.abc import Sequence

from luthien_stream.core.sse import data_of
from luthien_stream.events.answer import Cell, End, Event, Kinds, Opaque, Part, PartEnd, Text, Thinking, ToolCall
from luthien_stream.formats.anthropic_messages.source import ENDING, Source
from luthien_stream.formats.anthropic_messages.wire import (
    FORMAT,
    REASONS,
    THINKING,
    Block,
    Delta,
    Frame,
    Start,
    edited,
    read,
    read_fast,
)
from luthien_stream.formats.cell import Gather, readable, silent
from luthien_stream.formats.errors import ProtocolError
from luthien_stream.formats.json import dump

Items = Sequence[bytes | Event]


class StreamDecoder(Source):
    """Frames of one streamed answer to events, in order. Raises `ProtocolError` where the grammar is broken."""

    def __init__(self, sees: Kinds) -> None:
        super().__init__()
        self._sees = sees
        self._part: Part | None = None
        self._flow = ""  # what the open block is: text, thinking, gather, pass
        self._block = Block("")
        self._json: list[str] = []
        self._held = Gather()
        self._early: list[Event] = []
        self._reason: str | None = None
        self._closing = False

    def frame(self, raw: bytes) -> Items:
        """Take one frame; return what is complete now."""
        if not raw.isascii():
            readable(raw)
        data = data_of(raw)
        if not data:
            return self._mute(silent(raw))
        try:
            frame = read_fast(data)
        except (ValueError, RecursionError):
            frame = read(data)
        if frame.type == "content_block_delta":
            part, delta = self._part, frame.delta
            if part is None or delta is None or frame.index != part.index:
                raise ProtocolError("The provider sent a delta outside its block.")
            if delta.text and self._flow == "text" and delta.type == "text_delta" and not self._held.frames:
                return [Text(delta.text, part, False, raw)]
            return self._delta(part, delta, raw)
        return self._other(frame, raw)

    def close(self, rest: bytes = b"") -> Items:
        """The stream ended. Half a frame is withheld: no client can read it, and no policy could."""
        found: list[bytes | Event] = []
        if rest and not self.over:
            found = self._last(rest)
        if self.over:
            return found
        self.over = "cut"
        return [*found, End("cut", usage=self.usage, part=ENDING)]

    def _last(self, rest: bytes) -> list[bytes | Event]:
        data = data_of(rest)
        try:
            whole = read(data) if data else None
        except ProtocolError:
            return []
        if whole is None:
            return []
        return list(self.frame(rest if whole.type == "message_stop" else rest.rstrip(b"\r\n") + b"\n\n"))

    def _other(self, frame: Frame, raw: bytes) -> Items:
        if self.over and frame.type != "ping":
            raise ProtocolError(f"The provider sent {frame.type} after the end of its answer.")
        match frame.type:
            case "content_block_start":
                return self._start(frame, raw)
            case "content_block_stop":
                return self._stop(frame, raw)
            case "message_start":
                return self._begin(frame, raw)
            case "message_delta":
                return self._message_delta(frame, raw)
            case "message_stop":
                return self._message_stop(raw)
            case "ping":
                return self._mute(raw)
            case "error":
                return self._error(frame, raw)
        return self._unknown(frame, raw)

    def _begin(self, frame: Frame, raw: bytes) -> Items:
        message = frame.message
        if self.head is not None or message is None or message.get("content"):
            raise ProtocolError("The provider began its message twice, or with content in it.")
        self.head = message
        self.count(message.get("usage"))
        return [raw]

    def _mute(self, raw: bytes) -> Items:
        if self._held.frames or self._closing:
            if self.over:
                return [raw]
            self._held.add(raw)
            return ()
        return [raw]

    def _start(self, frame: Frame, raw: bytes) -> Items:
        block = frame.content_block
        if self._part is not None or self._closing or self.head is None or block is None or frame.index < 0:
            raise ProtocolError("The provider began a block inside another one, or outside its message.")
        kind = "thinking" if block.type in THINKING else block.type
        self.leading = self.leading or kind
        self.trailing = kind
        self.calls += kind == "tool_use"
        self._block, self._json = block, []
        begun = "text" if block.text else "thinking" if block.thinking else ""
        bare = edited(raw, ("content_block", begun), "") if begun else raw
        self._part = Part(FORMAT, kind, frame.index, Start(raw, bare))
        early, self._early = self._early, []
        self._flow = self._flow_of(kind)
        if self._flow == "pass":
            return [*early, raw]
        self._held.add(raw)
        if kind == "text" and block.text:
            return [*early, Text(block.text, self._part, src=self._cell())]
        if block.type == "redacted_thinking":
            self.signed.add(frame.index)
        if kind == "thinking" and (block.thinking or block.type == "redacted_thinking"):
            return [*early, self._thought(block.thinking or "", self._part, self._cell())]
        return early

    def _flow_of(self, kind: str) -> str:
        if kind in ("text", "thinking"):
            return kind
        return "gather" if (ToolCall if kind == "tool_use" else Opaque) in self._sees else "pass"

    def _delta(self, part: Part, delta: Delta, raw: bytes) -> Items:
        flow = self._flow
        if delta.type == "text_delta":
            if flow == "text":
                return self._first_text(delta.text, part, raw)
        elif delta.type == "thinking_delta" or delta.type == "signature_delta":
            if flow == "thinking":
                if delta.type == "signature_delta":
                    self.signed.add(part.index)
                src = raw if not self._held.frames else self._cell(raw)
                return [self._thought(delta.thinking or "", part, src)]
        elif flow == "text" or flow == "thinking":
            return [Opaque(delta.type, part, False, raw if not self._held.frames else self._cell(raw))]
        if flow == "pass":
            return [raw]
        if flow != "gather":
            raise ProtocolError(f"The provider sent {delta.type} in a block of {part.kind}.")
        self._held.add(raw)
        if delta.partial_json:
            self._json.append(delta.partial_json)
        return ()

    def _first_text(self, text: str | None, part: Part, raw: bytes) -> Items:
        if text:
            return [Text(text, part, src=self._cell(raw))]
        self._held.add(raw)
        return ()

    def _thought(self, text: str, part: Part, src: bytes | Cell) -> Thinking:
        self.thoughts[part.index] = self.thoughts.get(part.index, 0) + 1
        return Thinking(text, part, True, src)

    def _stop(self, frame: Frame, raw: bytes) -> Items:
        part = self._part
        if part is None or frame.index != part.index:
            raise ProtocolError("The provider ended a block that was not open.")
        self._part = None
        match self._flow:
            case "pass":
                return [raw]
            case "gather":
                return [self._whole(part, self._cell(raw))]
            case _ if not self._held.frames:
                return [PartEnd(part, raw)]
        return self._stop_waiting(part, raw)

    def _stop_waiting(self, part: Part, raw: bytes) -> Items:
        frames = self._held.take()
        begun = frames[0] is part.start.frame
        if not begun:
            return [PartEnd(part, Cell((*frames, raw), 1))]
        if part.kind == "text":
            self.notes.add("empty_block", "An empty text block was dropped: providers refuse it in the next turn.")
            return [frame for frame in frames if read(data_of(frame) or b"{}").type in ("", "ping")]
        return [self._thought("", part, Cell(frames, 1)), PartEnd(part, raw)]

    def _whole(self, part: Part, cell: Cell) -> Event:
        block = self._block
        if part.kind != "tool_use":
            return Opaque(part.kind, part, True, cell)
        if not block.name:
            raise ProtocolError("The provider sent a tool call without a name.")
        written = "".join(self._json) or (dump(block.input).decode() if block.input else "")
        return ToolCall(block.id, block.name, written, part, src=cell)

    def _unknown(self, frame: Frame, raw: bytes) -> Items:
        if (self._held.frames or self._closing) and Opaque not in self._sees:
            self._held.add(raw)
            return ()
        event = Opaque(frame.type or "unknown", self._part or ENDING, True, raw)
        if self.leading or self._closing:
            return [event]
        if len(self._early) >= 64:
            raise ProtocolError("The provider sent 64 unknown events before its answer.")
        self._early.append(event)
        return ()

    def _message_delta(self, frame: Frame, raw: bytes) -> Items:
        if self._part is not None or self.head is None:
            raise ProtocolError("The provider ended its message inside a block, or before it began.")
        self._closing = True
        self.count(frame.usage)
        if frame.delta is not None and frame.delta.stop_reason:
            self._reason = frame.delta.stop_reason
        self._held.add(raw)
        early, self._early = self._early, []
        return early

    def _message_stop(self, raw: bytes) -> Items:
        if self._part is not None or self.head is None:
            raise ProtocolError("The provider ended its message inside a block, or before it began.")
        self.over = REASONS.get(self._reason or "", "stop")
        self.ending = self._cell(raw)
        early, self._early = self._early, []
        return [*early, End(self.over, self._reason, self.usage, part=ENDING, src=self.ending)]

    def _error(self, frame: Frame, raw: bytes) -> Items:
        self._held.take()
        self._part = None
        self.over = "error"
        said = frame.error if isinstance(frame.error, dict) else {}
        message = f"{said.get('type', 'error')}: {said.get('message', 'the provider failed')}"
        return [*self._early, End("error", None, self.usage, message, ENDING, raw)]

    def _cell(self, last: bytes | None = None) -> Cell:
        if last is not None:
            self._held.add(last)
        return Cell(self._held.take(), 1)
