"""Anthropic's unstreamed answers: one cell with all events, written again as it came or block by block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from luthien_stream.events.answer import (
    Cell,
    End,
    Event,
    Opaque,
    Part,
    PartEnd,
    StopReason,
    Text,
    Thinking,
    ToolCall,
)
from luthien_stream.formats.anthropic_messages.blocks import Blocks
from luthien_stream.formats.anthropic_messages.server_tools import Json
from luthien_stream.formats.anthropic_messages.source import ENDING, Source
from luthien_stream.formats.anthropic_messages.wire import FORMAT, REASONS, THINKING, Block, Start, raw_reason
from luthien_stream.formats.cell import gathered, readable
from luthien_stream.formats.errors import ProtocolError
from luthien_stream.formats.json import DROP, dump, edit, fields, items, parse, parse_as


class _Message(Struct):
    stop_reason: str | None = None
    usage: dict[str, Any] | None = None


_MESSAGE = msgspec.json.Decoder(_Message)
_BLOCK = msgspec.json.Decoder(Block)


class BodyDecoder(Source):
    """One body to events. Raises `ProtocolError` where it is no message."""

    def __init__(self) -> None:
        super().__init__()
        self.body = b""
        self.rebuilt = False
        """True if the body must not leave as it came: it holds an empty text block."""

    def frame(self, raw: bytes) -> Sequence[bytes | Event]:
        """Take the body; return all its events."""
        readable(raw)
        try:
            message = parse_as(_MESSAGE, raw)
            known = fields(raw)
            self.head = {key: parse(value) for key, value in known.items() if key not in ("content", "usage")}
            blocks = enumerate(items(known["content"]))
            events = [event for index, block in blocks for event in self._events(index, block)]
        except (ValueError, KeyError) as error:
            raise ProtocolError(f"The provider's answer is no message: {error}.") from None
        self.body = raw
        self.count(message.usage)
        self.over = REASONS.get(message.stop_reason or "", "stop")
        events.append(End(self.over, message.stop_reason, self.usage, part=ENDING))
        placed = gathered([raw], events)
        src = placed[-1].src
        self.ending = src if isinstance(src, Cell) else None
        return placed

    def close(self, rest: bytes = b"") -> Sequence[bytes | Event]:
        """The body has ended; without one the answer is cut."""
        if self.over:
            return ()
        self.over = "cut"
        return [End("cut", part=ENDING)]

    def _events(self, index: int, raw: Raw) -> list[Event]:
        block = parse_as(_BLOCK, raw)
        kind = "thinking" if block.type in THINKING else block.type
        self.leading = self.leading or kind
        self.trailing = kind
        part = Part(FORMAT, kind, index, Start(bytes(raw), bytes(raw)))
        match kind:
            case "text" if not block.text:
                self.rebuilt = True
                self.notes.add("empty_block", "An empty text block was dropped: providers refuse it in the next turn.")
                return []
            case "text":
                return [Text(block.text or "", part), PartEnd(part)]
            case "thinking":
                self.thoughts[index] = 1
                self.signed.add(index)
                return [Thinking(block.thinking or "", part, True), PartEnd(part)]
            case "tool_use":
                self.calls += 1
                arguments = "" if block.input is None else bytes(fields(raw)["input"]).decode()
                return [ToolCall(block.id, block.name, arguments, part)]
        return [Opaque(kind, part)]


class BodyFramer(Blocks):
    """Writes one body: the provider's own if all its events came through untouched and in order."""

    def __init__(self, decoder: BodyDecoder) -> None:
        super().__init__(decoder)
        self._decoder = decoder
        self._untouched = True
        self._seen = 0
        self._blocks: list[bytes] = []
        self._texts: list[Text | Thinking] = []  # the pieces of the open block
        self._out: list[bytes] = []

    def write(self, event: Event) -> None:
        """Take what a policy chain put out."""
        if not isinstance(event, PartEnd):
            same = event.src is self._decoder.ending and event.pos == self._seen and not event.edited
            self._untouched = self._untouched and same
            self._seen += 1
        super().write(event)

    def mute(self, raw: bytes) -> None:
        """A body has no mute frames."""

    def flush(self) -> None:
        """The chain waits: a body is written at its end."""

    def take(self) -> list[bytes]:
        """The body, once it is finished: the very same object if nothing changed."""
        out, self._out = self._out, []
        return out

    def _begin(self, part: Part | None) -> None:
        self._texts = []

    def _piece(self, event: Text | Thinking | Opaque) -> None:
        if not isinstance(event, Opaque):
            self._texts.append(event)

    def _is_first(self, event: Thinking, part: Part) -> bool:
        return True

    def _stop(self, event: PartEnd | None) -> None:
        only = self._texts[0] if len(self._texts) == 1 else None
        text = "".join(piece.text for piece in self._texts)
        if only is not None and only.part is not None and not only.edited:
            self._blocks.append(only.part.start.frame)
        elif self._part is not None:
            block = edit(self._part.start.frame, ("text",), text)
            self._blocks.append(edit(block, ("citations",), DROP))
        else:
            self._blocks.append(dump({"type": "text", "text": text}))

    def _block(self, event: ToolCall | Opaque) -> None:
        part = event.part
        if part is not None and not event.edited:
            self._blocks.append(part.start.frame)
        elif isinstance(event, ToolCall):
            arguments = Raw((event.arguments or "{}").encode())
            block = dump({"type": "tool_use", "id": event.id, "name": event.name, "input": arguments})
            if part is not None:
                block = edit(edit(part.start.frame, ("input",), arguments), ("id",), event.id)
            self._blocks.append(block)

    def _made_block(self, block: Json) -> None:
        self._blocks.append(dump(block))

    def _cut(self) -> None:
        """A body has all of its thinking, or none."""

    def _loose(self, event: Opaque) -> None:
        """A body has nothing outside its blocks."""

    def _finish(self, event: End, reason: StopReason) -> None:
        if reason in ("cut", "error"):
            return
        decoder = self._decoder
        if (
            self._untouched
            and not decoder.rebuilt
            and decoder.ending is not None
            and self._seen == decoder.ending.events
        ):
            self._out.append(decoder.body)
            return
        body = decoder.body or dump({"type": "message", "role": "assistant", **(decoder.head or {})})
        body = edit(body, ("content",), [Raw(block) for block in self._blocks])
        if reason != decoder.over:
            body = edit(body, ("stop_reason",), raw_reason(reason))
        if decoder.switched and decoder.usage:
            body = edit(body, ("usage",), decoder.usage)
        self._out.append(body)
