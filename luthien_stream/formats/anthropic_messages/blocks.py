"""The order of blocks in Anthropic's answers: decides where each event goes, for streamed and unstreamed answers alike.

One block is open at a time. Text made by policies continues an open text block or begins one; it waits while the model
thinks, and cannot be placed after a tool call. The writers (`frame`, `body`) say how each step looks on the wire.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec.structs import replace

from luthien_stream.core.lens import Violation
from luthien_stream.events.answer import End, Event, Opaque, Part, PartEnd, Text, Thinking, ToolCall
from luthien_stream.formats.anthropic_messages.server_tools import ServerTools
from luthien_stream.formats.anthropic_messages.source import Source
from luthien_stream.formats.anthropic_messages.wire import FORMAT
from luthien_stream.formats.anthropic_messages.writer import Writer
from luthien_stream.formats.errors import FrameError
from luthien_stream.formats.framing import Notes, Waiting, check_arguments, is_ours, made
from luthien_stream.formats.marks import EMPTY, UNTHOUGHT
from luthien_stream.formats.repair import repaired

LEAD_LIMIT = 256
CALLS_LIMIT = 256
BlockKind = Literal["", "text", "thinking", "flow"]


class Blocks(Writer):
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
        self._thought = False  # some thinking was written
        self._past_thinking = False
        self._broken_flow = False
        self._ended = False
        self._early = False  # ended by a policy while the provider went on
        self._trailing = ""  # the kind of the last block
        self._blank = False  # the open text has nothing to read in it so far
        self._touched = False  # and is not the provider's own
        self._server_tools = ServerTools()
        self._own_calls: list[ToolCall] = []  # made by policies; they leave with the provider's first, or last
        self._waiting = Waiting()
        self._lead: list[Opaque] = []  # citations that came before the text of their block
        self._notes = Notes()

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
            self._say(event)

    def _say(self, event: Text) -> None:
        self._blank = self._blank and not event.text.strip()
        self._touched = self._touched or event.edited or event.part is None
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
        elif self._kind == "thinking" or self._kind == "flow" or self._thinks() or self._server_tools:
            self._waiting.add(event)
        else:
            if self._kind != "text":
                self._enter("text", None)
            self._say(Text(event.text))

    def _thinks(self) -> bool:
        return not self._past_thinking and self._source.leading == "thinking"

    def _release(self) -> None:
        """The thinking at the beginning is over: write what waited for that."""
        self._past_thinking = True
        if self._server_tools:
            return
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
        self._thought = True
        self._piece(event)

    def _call(self, event: ToolCall) -> None:
        if self._is_twice(event.part, event.name):
            return
        if event.part is None or event.edited:
            check_arguments(event)
        if event.part is None and not (self._ended or self._calls):
            self._keep(event)
            return
        self._release()
        self._shut()
        self._release_calls()
        self._write_call(event)

    def _keep(self, call: ToolCall) -> None:
        """Let a call of a policy wait: only calls may follow one."""
        if len(self._own_calls) >= CALLS_LIMIT:
            raise FrameError(f"Policies made more than {CALLS_LIMIT} tool calls in one answer.")
        self._own_calls.append(call)

    def _release_calls(self) -> None:
        calls, self._own_calls = self._own_calls, []
        for call in calls:
            self._write_call(call)

    def _write_call(self, call: ToolCall) -> None:
        if self._source.leading == "thinking" and not self._thought:
            call = replace(call, id=call.id + UNTHOUGHT, edited=True)
        self._calls += 1
        self._trailing = "tool_use"
        self._made = self._made or call.part is None
        self._block(call)
        self._passed(call.part)

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
        if self._is_late(part, event.kind) or self._is_twice(part, event.kind):
            return
        if not self._server_tools.admits_block(event.kind, part.start.frame):
            self._notes.add("unplaced", f"{event.kind} without its call was dropped.")
            return
        if not event.kind.endswith("_tool_result"):
            self._release()
        self._shut()
        self._trailing = event.kind
        self._block(event)
        self._passed(part)
        self._release()

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
        self._complete(event)
        reason = repaired(event, self._calls, self._source.calls)
        self._finish(event, "length" if self._broken_flow else reason)

    def _complete(self, event: End) -> None:
        """Write what the provider would miss in the next turn."""
        own = self._source.over is not None and event.reason in ("pause", "length", "content_filter")
        if not own:
            for block in self._server_tools.missing():
                self._trailing = str(block["type"])
                self._made_block(block)
        self._release()
        self._shut()
        self._release_calls()
        nothing = ("", "thinking")
        if self._trailing in nothing and (self._source.over is None or self._source.trailing not in nothing):
            self._new_text(Text(EMPTY))
            self._shut()

    def _enter(self, kind: BlockKind, part: Part | None) -> None:
        self._shut()
        self._trailing, self._blank, self._touched = kind, True, False
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
        whole = kind != "thinking" or part is None or self._thoughts == self._source.thoughts.get(part.index)
        if event is not None and not whole:
            raise FrameError("Signed thinking was passed in part: pass or drop the whole part.")
        if event is None and part is not None and not (whole and (kind != "thinking" or self._is_signed(part))):
            self._cut()
        if kind == "text" and self._blank and self._touched:
            self._piece(Text(EMPTY))
        self._stop(event)
        self._kind, self._part = "", None

    def _is_signed(self, part: Part) -> bool:
        return part.index in self._source.signed
