"""Events back to OpenAI's chat stream. What leaves as it came is the provider's own bytes.

A cell leaves verbatim if all its events come through untouched and in order; otherwise each event gets a chunk of its
own. The role is said once, calls are numbered from 0, and frames made here carry the identity of the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from luthien_stream.core.lens import Violation
from luthien_stream.core.sse import data_of
from luthien_stream.events.answer import Cell, End, Event, Opaque, Part, PartEnd, StopReason, Text, Thinking, ToolCall
from luthien_stream.formats.framing import Notes, check_arguments, frames_of, is_ours, made
from luthien_stream.formats.marks import EMPTY
from luthien_stream.formats.openai_chat.patch import (
    chunk_of,
    finish_alone,
    only,
    saying,
    says_any,
    with_role,
    without_role,
)
from luthien_stream.formats.openai_chat.source import CALL_PIECES, Source
from luthien_stream.formats.openai_chat.wire import (
    DONE,
    FORMAT,
    error_frame,
    is_done,
    made_chunk,
    made_usage,
    raw_reason,
)
from luthien_stream.formats.repair import repaired


class StreamFramer:
    """Writes frames. `take` gives the very same `bytes` objects for frames that are verbatim."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._frames: list[bytes] = []
        self._role = ""  # who said it: "theirs" in a verbatim frame, "ours" in a made one
        self._said_in = b""  # the provider's frame that said it
        self._said = False  # a text or a refusal
        self._calls = 0
        self._legacy = False
        self._written: set[int] = set()  # the provider's calls that left, by number
        self._renumbered = False
        self._verbatim: Part | None = None  # the part whose plain chunks may leave as they came
        self._mates: list[Event] = []  # events of a cell that is not complete yet
        self._broken: Cell | None = None  # the cell whose events leave one by one
        self._notes = Notes()
        self._ended = False
        self._early = False  # ended by a policy while the provider went on

    def write(self, event: Event) -> None:
        """Write what a policy chain put out."""
        if (
            event.part is self._verbatim
            and event.__class__ is Text
            and event.src.__class__ is bytes
            and not event.edited
        ):
            self._frames.append(event.src)
        elif self._ended:
            self._notes.add("after_end", f"{type(event).__name__} after the end was dropped.")
        elif isinstance(event, ToolCall) and event.part is not None and event.part.index in self._written:
            self._notes.add("unplaced", f"{event.name} was written twice by a policy.")
        elif not isinstance(event, PartEnd):
            self._place(event if is_ours(event, FORMAT) else made(event))

    def mute(self, raw: bytes) -> None:
        """Write a frame that no policy sees."""
        if self._early:
            return
        chunk = chunk_of(raw)
        choice = chunk.choices[0] if chunk is not None and chunk.choices else None
        delta = choice.delta if choice is not None and not choice.index else None
        if delta is not None and (delta.tool_calls or delta.function_call):
            self.flush()
            self._calls += 1
            self._legacy = delta.function_call is not None
        self._admit(raw)

    def flush(self) -> None:
        """The chain waits: what is complete of a cell leaves event by event."""
        mates, self._mates = self._mates, []
        for event in mates:
            self._broken = event.src if isinstance(event.src, Cell) else None
            self._alone(event)

    def finish(self) -> None:
        """Nothing more will be written: end the answer, unless the provider's own broke off."""
        self.flush()
        if not self._ended and self._source.over not in ("cut", "error"):
            self._end(End("tool_calls" if self._calls else "stop"))

    def take(self) -> list[bytes]:
        """The frames written since the last call."""
        frames, self._frames = self._frames, []
        return frames

    def notes(self) -> Sequence[Violation]:
        """What was dropped since the last call."""
        return [*self._source.notes.take(), *self._notes.take()]

    def _place(self, event: Event) -> None:
        """Keep an untouched event until its mates have come, or write it."""
        self._verbatim = None
        src = event.src
        if isinstance(src, Cell) and src.events > 1 and not event.edited and src is not self._broken:
            if self._mates and self._mates[0].src is not src:
                self.flush()
            if event.pos == len(self._mates):
                self._mates.append(event)
                if len(self._mates) == src.events:
                    self._whole(src)
                return
        self.flush()
        if isinstance(src, Cell) and src.events > 1:
            self._broken = src
        elif src is not None and not event.edited and self._fits([event]):
            self._pass([event], frames_of(event))
            return
        self._alone(event)

    def _whole(self, cell: Cell) -> None:
        if self._fits(self._mates):
            mates, self._mates = self._mates, []
            self._pass(mates, cell.frames)
        else:
            self.flush()

    def _fits(self, events: Sequence[Event]) -> bool:
        """True if the provider's own frames say what is right for the client too."""
        calls = self._calls + sum(_is_call(event) for event in events)
        for event in events:
            if isinstance(event, ToolCall) and self._renumbered:
                return False
            if isinstance(event, End) and repaired(event, calls, self._source.calls) != event.reason:
                return False
        says = calls or any(isinstance(event, Text) for event in events)
        return bool(says) or not isinstance(events[-1], End) or not self._is_emptied()

    def _is_emptied(self) -> bool:
        """True if policies left nothing of the answer so far: no provider takes that back."""
        source = self._source
        return not (self._said or self._calls) and bool(source.over is None or source.said or source.calls)

    def _pass(self, events: Sequence[Event], frames: Iterable[bytes]) -> None:
        for raw in frames:
            self._admit(raw)
        for event in events:
            self._said = self._said or isinstance(event, Text)
            if _is_call(event):
                self._count(event)
            self._ended = self._ended or isinstance(event, End)
        said = self._role or not self._source.role
        self._verbatim = events[-1].part if said and isinstance(events[-1], Text) else None

    def _admit(self, raw: bytes) -> None:
        """Write a frame of the provider, with the role if it is due, without it if we have said it."""
        if self._role == "theirs" or not (self._role or self._source.role):
            self._frames.append(without_role(raw) if raw is self._said_in else raw)
            return
        chunk = chunk_of(raw)
        choice = chunk.choices[0] if chunk is not None and chunk.choices else None
        if choice is None or choice.index:
            self._frames.append(raw)
        elif choice.delta is not None and choice.delta.role:
            said, self._role, self._said_in = self._role, self._role or "theirs", raw
            self._frames.append(without_role(raw) if said else raw)
        elif not self._role and self._source.role:
            self._role = "ours"
            self._frames.append(with_role(raw))
        else:
            self._frames.append(raw)

    def _alone(self, event: Event) -> None:
        match event:
            case Text() | Thinking():
                self._piece(event)
            case ToolCall():
                self._call(event)
            case Opaque():
                self._opaque(event)
            case End():
                self._end(event)

    def _piece(self, event: Text | Thinking) -> None:
        if not event.text:
            return
        frames = frames_of(event)
        self._said = self._said or isinstance(event, Text)
        if len(frames) != 1:
            name = "refusal" if isinstance(event, Text) and event.refusal else "content"
            self._make({"reasoning_content" if isinstance(event, Thinking) else name: event.text})
            return
        mates = isinstance(event.src, Cell) and event.src.events > 1
        self._admit(saying(frames[0], event, mates))

    def _call(self, call: ToolCall) -> None:
        if call.part is None or call.edited:
            check_arguments(call)
        index, start = self._calls, (call.part.start if call.part is not None else None) or {}
        self._renumbered = True
        self._count(call)
        if call.kind == "legacy":
            self._make({"function_call": {"name": call.name, "arguments": call.arguments}})
            return
        kind, said = ("custom", "input") if call.kind == "custom" else ("function", "arguments")
        inner = {**(start.get(kind) or {}), "name": call.name, said: call.arguments}
        self._make({"tool_calls": [{**start, "index": index, "id": call.id, "type": kind, kind: inner}]})

    def _count(self, call: Event) -> None:
        self._calls += 1
        self._legacy = isinstance(call, ToolCall) and call.kind == "legacy"
        if call.part is not None:
            self._written.add(call.part.index)

    def _opaque(self, event: Opaque) -> None:
        names = event.kind.split(",")
        raw = next((raw for raw in frames_of(event) if says_any(raw, names)), None)
        if raw is not None:
            self._admit(only(raw, names))
            if _is_call(event):
                self._count(event)
        elif event.part is None:
            self._notes.add("unplaced", f"{event.kind} of another answer was dropped.")

    def _end(self, event: End) -> None:
        self._ended = True
        self._early = self._source.over is None
        if event.reason == "cut":
            return
        if event.reason == "error":
            made = error_frame(500, event.error or "A policy ended the answer.")
            self._frames.extend(frames_of(event) or [made])
            return
        if self._is_emptied():
            self._make({"content": EMPTY})
        reason = repaired(event, self._calls, self._source.calls)
        ending = self._source.ending
        if ending is None or self._source.switched:
            self._make({}, self._raw(reason))
            if self._source.switched and self._source.usage:
                self._frames.append(made_usage(self._source.head, self._source.usage))
            self._frames.append(DONE)
        elif reason == self._source.over and ending.events == 1:
            for raw in ending.frames:
                self._admit(raw)
        else:
            self._end_like(ending, reason)

    def _end_like(self, ending: Cell, reason: StopReason) -> None:
        """The provider's own end: its finish alone in a chunk, then what came behind it."""
        finished = False
        said = None if reason == self._source.over else self._raw(reason)
        for raw in ending.frames:
            chunk, data = chunk_of(raw), data_of(raw)
            if chunk is not None and chunk.choices:
                if chunk.choices[0].finish_reason and not finished:
                    finished = True
                    self._admit(finish_alone(raw, said))
            elif finished or (data is not None and is_done(data)):
                if not finished:
                    finished = True
                    self._make({}, self._raw(reason))
                self._frames.append(raw)

    def _raw(self, reason: StopReason) -> str:
        return raw_reason(reason, self._legacy)

    def _make(self, delta: dict[str, Any], finish: str | None = None) -> None:
        role = {} if self._role else {"role": "assistant"}
        self._role = self._role or "ours"
        self._frames.append(made_chunk(self._source.head, {**role, **delta}, finish))


def _is_call(event: Event) -> bool:
    return isinstance(event, ToolCall) or (isinstance(event, Opaque) and event.kind == CALL_PIECES)
