"""The order of blocks in Anthropic's answers: decides where each event goes, for streamed and unstreamed answers alike.

One block is open at a time. Text made by policies continues an open text block or begins one; it waits while the model
thinks, and cannot be placed after a tool call. The writers (`frame`, `body`) say how each step looks on the wire.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

from luthien_stream.core.lens import Violation
from luthien_stream.events.answer import End, Event, Opaque, Part, PartEnd, StopReason, Text, Thinking, ToolCall
from luthien_stream.formats.anthropic_messages.source import Source
from luthien_stream.formats.anthropic_messages.wire import FORMAT
from luthien_stream.formats.errors import FrameError
from luthien_stream.formats.framing import Notes, Waiting, check_arguments, is_ours, made
from luthien_stream.formats.repair import repaired

LEAD_LIMIT = 256
BlockKind = Literal["", "text", "thinking", "flow"]


class Blocks(ABC):
    """Places events in blocks. Raises `FrameError` for what a policy must not do to signed thinking."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._kind: BlockKind = ""  # of the open block; `flow` is one that passes frame by frame
        self._part: Part | None = None  # the provider's block that is open, None if it is one of our own
        self._last = -1  # the largest index of a provider's block that was begun
        self._calls = 0
        self._made = False  # a policy made one of the calls
        self._whole_blocks: set[int] = set()  # the provider's blocks that left whole
        self._thoughts = 0
        self._past_thinking = False
        self._broken_flow = False
        self._ended = False
        self._early = False  # ended by a policy while the provider went on
        self._waiting = Waiting()
        self._lead: list[Opaque] = []  # citations that came before the text of their block
        self._notes = Notes()

    @abstractmethod
    def _begin(self, part: Part | None) -> None:
        """Begin a block, the provider's or one of our own; a piece of it follows at once."""

    @abstractmethod
    def _piece(self, event: Text | Thinking | Opaque) -> None:
        """Write a piece of the open block."""

    @abstractmethod
    def _is_first(self, event: Thinking, part: Part) -> bool:
        """True if the event is the first of its part."""

    @abstractmethod
    def _stop(self, event: PartEnd | None) -> None:
        """End the open block."""

    @abstractmethod
    def _block(self, event: ToolCall | Opaque) -> None:
        """Write a whole block."""

    @abstractmethod
    def _loose(self, event: Opaque) -> None:
        """Write what belongs to no block."""

    @abstractmethod
    def _finish(self, event: End, reason: StopReason) -> None:
        """Write the end, with this reason."""

    def write(self, event: Event) -> None:
        """Write what a policy chain put out."""
        if self._ended:
            self._notes.add("after_end", f"{type(event).__name__} after the end was dropped.")
            return
        if not is_ours(event, FORMAT):
            event = made(event)
        match event:
            case Text():
                self._text(event)
            case Thinking():
                self._thinking(event)
            case ToolCall():
                self._call(event)
            case Opaque():
                self._opaque(event)
            case PartEnd():
                self._part_end(event)
            case End():
                self._end(event)

    def finish(self) -> None:
        """Nothing more will be written: end the answer, unless the provider's own broke off."""
        if not self._ended and self._source.over not in ("cut", "error"):
            self._end(End("tool_calls" if self._calls else "stop"))

    def notes(self) -> Sequence[Violation]:
        """What was dropped since the last call."""
        return [*self._source.notes.take(), *self._notes.take()]

    def _text(self, event: Text) -> None:
        if not event.text:
            return
        if event.part is None or self._kind == "flow":
            self._new_text(event)
        elif self._enter_text(event.part):
            lead, self._lead = self._lead, []
            for piece in lead:
                if piece.part is event.part:
                    self._piece(piece)
            self._piece(event)

    def _enter_text(self, part: Part) -> bool:
        """Make a provider's text block the open one: a text block that a policy began goes on as that block."""
        if part is self._part:
            return True
        if self._is_late(part, "Text"):
            return False
        self._release()
        if self._kind == "text" and self._part is None:
            self._part, self._last = part, max(self._last, part.index)
        else:
            self._shut()
            self._enter("text", part)
        return True

    def _is_late(self, part: Part, what: str) -> bool:
        """True, and noted, if the provider has this part before a call that is written: only calls may follow one."""
        late = part is not self._part and self._calls > 0 and (self._made or part.index <= self._last)
        if late:
            self._notes.add("unplaced", f"{what} behind a tool call was dropped.")
        return late

    def _is_twice(self, part: Part | None, what: str) -> bool:
        """True, and noted, if a policy writes this whole block again: its id would be there twice."""
        twice = part is not None and part.index in self._whole_blocks
        if twice:
            self._notes.add("unplaced", f"{what} was written twice by a policy.")
        elif part is not None:
            self._whole_blocks.add(part.index)
        return twice

    def _new_text(self, event: Text) -> None:
        if self._calls:
            self._notes.add("unplaced", "Text of a policy after a tool call was dropped.")
        elif self._kind == "thinking" or self._kind == "flow" or self._thinks():
            self._waiting.add(event)
        else:
            if self._kind != "text":
                self._enter("text", None)
            self._piece(Text(event.text))

    def _thinks(self) -> bool:
        return not self._past_thinking and self._source.leading == "thinking"

    def _release(self) -> None:
        """The thinking at the beginning is over: write what waited for that."""
        self._past_thinking = True
        if texts := self._waiting.take():
            self._shut()
            for text in texts:
                self._new_text(text)

    def _thinking(self, event: Thinking) -> None:
        part = event.part
        if part is None:
            self._notes.add("unsigned", "Thinking without the provider's signature was dropped.")
            return
        if self._is_late(part, "Thinking"):
            return
        if event.edited:
            raise FrameError("Signed thinking cannot be edited: pass or drop the whole part.")
        if part is not self._part:
            if not self._is_first(event, part):
                raise FrameError("Signed thinking was passed without its beginning: pass or drop the whole part.")
            self._shut()
            self._enter("thinking", part)
        self._thoughts += 1
        self._piece(event)

    def _call(self, event: ToolCall) -> None:
        if self._is_twice(event.part, event.name):
            return
        if event.part is None or event.edited:
            check_arguments(event)
        self._release()
        self._shut()
        self._calls += 1
        self._made = self._made or event.part is None
        self._block(event)
        self._passed(event.part)

    def _opaque(self, event: Opaque) -> None:
        part = event.part
        if part is None:
            self._notes.add("unplaced", f"{event.kind} of another answer was dropped.")
        elif event.whole and isinstance(event.src, bytes):
            self._loose(event)
        elif event.whole:
            self._opaque_block(event, part)
        elif part is self._part:
            self._piece(event)
        elif part.kind == "text" and len(self._lead) < LEAD_LIMIT:
            self._lead.append(event)
        else:
            self._notes.add("unplaced", f"{event.kind} outside its block was dropped.")

    def _opaque_block(self, event: Opaque, part: Part) -> None:
        if not self._is_late(part, event.kind) and not self._is_twice(part, event.kind):
            self._release()
            self._shut()
            self._block(event)
            self._passed(part)

    def _part_end(self, event: PartEnd) -> None:
        if event.part is None or event.part is not self._part:
            return
        self._shut(event)
        if self._past_thinking:
            self._release()

    def _end(self, event: End) -> None:
        self._release()
        self._ended = True
        self._early = self._source.over is None
        if event.reason in ("cut", "error"):
            self._finish(event, event.reason)
            return
        self._shut()
        reason = repaired(event, self._calls, self._source.calls)
        self._finish(event, "length" if self._broken_flow else reason)

    def _enter(self, kind: BlockKind, part: Part | None) -> None:
        self._shut()
        self._kind, self._part, self._thoughts = kind, part, 0
        self._passed(part)
        self._begin(part)

    def _passed(self, part: Part | None) -> None:
        if part is not None:
            self._last = max(self._last, part.index)

    def _shut(self, event: PartEnd | None = None) -> None:
        """End the open block, if there is one."""
        if not self._kind:
            return
        kind, part = self._kind, self._part
        self._broken_flow = self._broken_flow or kind == "flow"
        self._stop(event)
        self._kind, self._part = "", None
        whole = kind != "thinking" or part is None or self._thoughts == self._source.thoughts.get(part.index)
        if event is not None and not whole:
            raise FrameError("Signed thinking was passed in part: pass or drop the whole part.")
