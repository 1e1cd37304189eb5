"""OpenAI's unstreamed responses: one cell with all events, written again as it came or item by item."""

from __future__ import annotations

from collections.abc import Sequence

from luthien_stream.events.answer import Cell, End, Event, Opaque, Part, PartEnd, Text, Thinking, ToolCall
from luthien_stream.formats.cell import gathered, readable
from luthien_stream.formats.errors import ProtocolError
from luthien_stream.formats.json import edit, fields
from luthien_stream.formats.openai_responses.ending import (
    error_said,
    output_of,
    read_ending,
    with_output,
    with_reason,
)
from luthien_stream.formats.openai_responses.items import (
    MESSAGE,
    REASONING,
    TOOLS,
    call_of,
    content_saying,
    contents,
    item_of,
    joined,
    made_content,
    made_message,
    message_saying,
    read_content,
    read_item,
    thoughts,
)
from luthien_stream.formats.openai_responses.made import made_id, made_response, own_id
from luthien_stream.formats.openai_responses.order import Order
from luthien_stream.formats.openai_responses.released import Released
from luthien_stream.formats.openai_responses.source import ENDING, Source
from luthien_stream.formats.openai_responses.wire import CONTENT, FORMAT, RAW_INCOMPLETE, Start, with_id


class BodyDecoder(Source):
    """One body to events. Raises `ProtocolError` where it is no response."""

    def __init__(self) -> None:
        super().__init__()
        self.cell: Cell | None = None
        """The body's cell."""

    def frame(self, raw: bytes) -> Sequence[bytes | Event]:
        """Take the body; return all its events."""
        readable(raw)
        try:
            known = fields(raw)
        except ValueError as error:
            raise ProtocolError(f"The provider's answer is no response: {error}.") from None
        if "output" not in known:
            raise ProtocolError("The provider's answer is no response: it has no output.")
        ending = read_ending(raw)
        self.head = self.ending = raw
        self.usage = ending.usage
        events = [event for index, item in enumerate(output_of(raw)) for event in self._events(index, item)]
        failed = ending.status in ("failed", "cancelled")
        self.over = "error" if failed else ending.reason(ending.status == "incomplete", self.calls)
        said = error_said(ending.error) if failed else None
        events.append(End(self.over, ending.raw_reason, self.usage, said, ENDING))
        placed = gathered([raw], events)
        src = placed[-1].src
        self.cell = src if isinstance(src, Cell) else None
        return placed

    def close(self, rest: bytes = b"") -> Sequence[bytes | Event]:
        """The body has ended; without one the answer is cut."""
        if self.over:
            return ()
        self.over = "cut"
        return [End("cut", part=ENDING)]

    def _events(self, index: int, raw: bytes) -> list[Event]:
        item, self.orders[index] = read_item(raw), index
        if item.type == MESSAGE:
            return self._message(index, raw, item.id or "")
        start = Start(raw, id=item.id or "", whole=True)
        if item.type == REASONING:
            part = Part(FORMAT, "thinking", index, start)
            self.thoughts[index] = 1
            return [Thinking(thoughts(raw), part, True), PartEnd(part)]
        if item.type in TOOLS:
            self.calls += 1
            return [call_of(raw, Part(FORMAT, "tool", index, start))]
        return [Opaque(item.type or "unknown", Part(FORMAT, item.type, index, start))]

    def _message(self, index: int, raw: bytes, id: str) -> list[Event]:
        events: list[Event] = []
        for position, content in enumerate(contents(raw)):
            type, text = read_content(content)
            part = Part(FORMAT, CONTENT.get(type, type), index, Start(raw, position, content, id))
            if type not in CONTENT:
                events += [Opaque(type or "unknown", part, False), PartEnd(part)]
            elif text:
                events += [Text(text, part, type == "refusal"), PartEnd(part)]
        return events


class BodyFramer(Order):
    """Writes one body: the provider's own if all its events came through untouched and in order."""

    def __init__(self, decoder: BodyDecoder) -> None:
        super().__init__(decoder)
        self._decoder = decoder
        self._untouched = True
        self._seen = 0
        self._released = Released()
        self._position = -1  # of the open item
        self._begun = b""  # the provider's open item, empty for one of our own
        self._written: list[bytes] = []  # the contents of the open item
        self._rewritten = False  # one of them is not the provider's own
        self._ids: dict[str, str] = {}  # of the provider's items to the ones that they leave with
        self._out: list[bytes] = []

    def write(self, event: Event) -> None:
        """Write what a policy chain put out."""
        if not isinstance(event, PartEnd):
            same = event.src is self._decoder.cell and event.pos == self._seen and not event.edited
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

    def _begin(self, part: Part | None, kind: str, item: bool) -> None:
        if item:
            self._position, self._written, self._rewritten = self._released.begin(*self._order(part)), [], False
            self._begun = part.start.item if part is not None else b""
            self._rename(part)

    def _piece(self, event: Text | Thinking | Opaque) -> None:
        """A body says a content at once, when it has ended."""

    def _is_first(self, event: Event, part: Part) -> bool:
        return False

    def _stop(self, event: PartEnd | None, known: bool) -> bool:
        part, text = self._part, joined(self._said)
        self._rewritten = self._rewritten or self._touched
        if part is None:
            self._written.append(made_content(self._kind, text))
        elif part.kind in CONTENT.values():
            self._written.append(content_saying(part.start.part, text, self._touched))
        else:
            self._written.append(part.start.part)
        return False

    def _stop_item(self) -> None:
        if self._begun:
            item = with_id(message_saying(self._begun, self._written, self._rewritten), self._ids)
        else:
            item = made_message(made_id(self._decoder.head, "msg", self._position), self._written)
        self._released.end(self._position, item, item is not self._begun)

    def _whole(self, event: Event) -> None:
        part, position = event.part, self._released.begin(*self._order(event.part))
        self._position = position
        self._rename(part)
        if isinstance(event, ToolCall):
            made = made_id(self._decoder.head, "fc", position) if part is None else ""
            item = with_id(item_of(event, made), self._ids)
            self._released.end(position, item, part is None or event.edited or bool(self._ids))
        elif part is not None:
            self._released.end(position, with_id(part.start.item, self._ids), bool(self._ids))

    def _rename(self, part: Part | None) -> None:
        if part is not None and self._bereft:
            self._ids[part.start.id] = own_id(self._decoder.head, part.start.id, self._position)

    def _loose(self, event: Opaque) -> None:
        """A body has nothing outside its items."""

    def _finish(self, event: End) -> None:
        decoder = self._decoder
        if event.reason == "cut" or (event.reason == "error" and decoder.over != "error"):
            return
        if self._untouched and decoder.cell is not None and self._seen == decoder.cell.events:
            self._out.append(decoder.ending)
            return
        if not decoder.ending:
            self._out.append(made_response(None, self._released.items, event.reason, None))
            return
        body = with_output(decoder.ending, self._released.items, self._released.changed, silent=False)
        if RAW_INCOMPLETE.get(event.reason) != RAW_INCOMPLETE.get(decoder.over or ""):
            body = with_reason(body, event.reason)
        if decoder.switched and decoder.usage:
            body = edit(body, ("usage",), decoder.usage)
        self._out.append(body)
