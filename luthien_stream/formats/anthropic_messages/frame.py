"""Events back to Anthropic's stream. What leaves as it came, where it came, is the provider's own bytes."""

from __future__ import annotations

from typing import Any

from luthien_stream.core.sse import data_of
from luthien_stream.events.answer import Cell, End, Event, Opaque, Part, PartEnd, StopReason, Text, Thinking, ToolCall
from luthien_stream.formats.anthropic_messages.blocks import Blocks
from luthien_stream.formats.anthropic_messages.server_tools import Json
from luthien_stream.formats.anthropic_messages.source import Source
from luthien_stream.formats.anthropic_messages.wire import (
    edited,
    error_frame,
    is_block_frame,
    raw_reason,
    read,
    reindexed,
    wrap,
)
from luthien_stream.formats.framing import frames_of
from luthien_stream.formats.marks import CUT, UNTHOUGHT


class StreamFramer(Blocks):
    """Writes frames. `take` gives the very same `bytes` objects for frames that are verbatim."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._frames: list[bytes] = []
        self._index = -1
        self._fresh = False  # a block has begun whose start is not written yet
        self._verbatim: Part | None = None  # the open part whose pieces may leave as they came
        self._started = False

    def write(self, event: Event) -> None:
        """Write what a policy chain put out."""
        if (
            event.part is self._verbatim
            and event.__class__ is Text
            and event.src.__class__ is bytes
            and not event.edited
        ):
            self._frames.append(event.src)
        else:
            super().write(event)

    def mute(self, raw: bytes) -> None:
        """Write a frame that no policy sees; blocks that flow by are given their place."""
        if self._early:
            return
        data = data_of(raw)
        frame = read(data) if data else None
        kind = frame.type if frame is not None else ""
        if kind == "message_start":
            self._started = True
        elif kind == "content_block_start" and frame is not None and frame.content_block is not None:
            self._release()
            self._shut()
            self._kind = "flow"
            self._index += 1
            self._last = max(self._last, frame.index)
            self._calls += frame.content_block.type == "tool_use"
            self._trailing = frame.content_block.type
            self._server_tools.admits_flow(frame.content_block)
            if frame.content_block.type == "tool_use" and self._source.leading == "thinking" and not self._thought:
                raw = edited(raw, ("content_block", "id"), frame.content_block.id + UNTHOUGHT)
        self._put(raw, frame.index if frame is not None else -1)
        if kind == "content_block_stop":
            self._kind = ""
            self._release()

    def flush(self) -> None:
        """The chain waits. Nothing is kept for want of mates: every cell of a stream has one event."""

    def take(self) -> list[bytes]:
        """The frames written since the last call."""
        frames, self._frames = self._frames, []
        return frames

    def _put(self, raw: bytes, given: int) -> None:
        """Write a frame of a block whose index is `given` there."""
        moved = given >= 0 and given != self._index and is_block_frame(raw)
        self._frames.append(reindexed(raw, self._index) if moved else raw)

    def _start_message(self) -> None:
        if not self._started:
            self._started = True
            head = self._source.head or {"id": "msg_luthien", "type": "message", "role": "assistant", "model": ""}
            usage = self._source.usage or {"input_tokens": 0, "output_tokens": 0}
            rest: dict[str, Any] = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
            self._frames.append(wrap("message_start", {"message": {**head, **rest}}))

    def _begin(self, part: Part | None) -> None:
        self._start_message()
        self._index += 1
        self._fresh = True

    def _piece(self, event: Text | Thinking | Opaque) -> None:
        part = self._part
        frames = frames_of(event)
        begins = part is not None and bool(frames) and frames[0] is part.start.frame
        held_in_start = begins and self._fresh and not event.edited
        if self._fresh:
            self._put_start(part, held_in_start)
        if begins:
            frames = frames[1:]
        if frames and event.edited and isinstance(event, Text):
            frames = (*frames[:-1], edited(frames[-1], ("delta", "text"), event.text))
        elif not frames and not held_in_start and isinstance(event, Text):
            frames = (self._made_delta(event.text),)
        given = part.index if part is not None else self._index
        for raw in frames:
            self._put(raw, given)
        self._verbatim = part if given == self._index else None

    def _is_first(self, event: Thinking, part: Part) -> bool:
        return frames_of(event)[0] is part.start.frame

    def _put_start(self, part: Part | None, whole: bool) -> None:
        self._fresh = False
        if part is None:
            block = {"type": "text", "text": ""}
            self._frames.append(wrap("content_block_start", {"index": self._index, "content_block": block}))
        else:
            self._put(part.start.frame if whole else part.start.bare, part.index)

    def _made_delta(self, text: str) -> bytes:
        return wrap("content_block_delta", {"index": self._index, "delta": {"type": "text_delta", "text": text}})

    def _stop(self, event: PartEnd | None) -> None:
        self._verbatim = None
        if event is not None and event.part is not None:
            for raw in frames_of(event):
                self._put(raw, event.part.index)
        else:
            self._frames.append(wrap("content_block_stop", {"index": self._index}))

    def _block(self, event: ToolCall | Opaque) -> None:
        self._start_message()
        self._index += 1
        part = event.part
        if part is not None and not event.edited:
            for raw in frames_of(event):
                self._put(raw, part.index)
            return
        if isinstance(event, ToolCall):
            self._made_call(event, part)

    def _made_call(self, call: ToolCall, part: Part | None) -> None:
        if part is not None:
            start = edited(part.start.bare, ("content_block", "input"), {})
            self._put(edited(start, ("content_block", "id"), call.id), part.index)
        else:
            block: dict[str, Any] = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
            self._frames.append(wrap("content_block_start", {"index": self._index, "content_block": block}))
        delta = {"type": "input_json_delta", "partial_json": call.arguments}
        self._frames.append(wrap("content_block_delta", {"index": self._index, "delta": delta}))
        self._frames.append(wrap("content_block_stop", {"index": self._index}))

    def _made_block(self, block: Json) -> None:
        self._index += 1
        self._frames.append(wrap("content_block_start", {"index": self._index, "content_block": block}))
        self._frames.append(wrap("content_block_stop", {"index": self._index}))

    def _cut(self) -> None:
        delta = {"type": "signature_delta", "signature": CUT}
        self._frames.append(wrap("content_block_delta", {"index": self._index, "delta": delta}))

    def _loose(self, event: Opaque) -> None:
        self._frames.extend(frames_of(event))

    def _finish(self, event: End, reason: StopReason) -> None:
        if reason == "cut":
            return
        if reason == "error":
            self._frames.extend(frames_of(event) or [error_frame(500, event.error or "A policy ended the answer.")])
            return
        self._start_message()
        ending = self._source.ending
        if ending is None or self._source.switched:
            self._made_end(reason)
        elif reason == self._source.over:
            self._frames.extend(ending.frames)
        else:
            self._frames.extend(_with_reason(ending, reason))

    def _made_end(self, reason: StopReason) -> None:
        delta = {"stop_reason": raw_reason(reason), "stop_sequence": None}
        usage = {"output_tokens": 0, **(self._source.usage or {})}
        self._frames.append(wrap("message_delta", {"delta": delta, "usage": usage}))
        self._frames.append(wrap("message_stop", {}))


def _with_reason(ending: Cell, reason: StopReason) -> list[bytes]:
    frames = []
    for raw in ending.frames:
        data = data_of(raw)
        ours = data and read(data).type == "message_delta"
        frames.append(edited(raw, ("delta", "stop_reason"), raw_reason(reason)) if ours else raw)
    return frames
