"""The last look at Anthropic's frames before they leave: the order of blocks, and shapes that spoil the next turn."""

from __future__ import annotations

from collections.abc import Sequence

from luthien_stream.core.lens import Violation
from luthien_stream.core.sse import data_of
from luthien_stream.formats.anthropic_messages.wire import Block, Frame, read
from luthien_stream.formats.errors import ProtocolError

_DELTAS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "thinking"}


class StreamChecker:
    """Follows one streamed answer frame by frame; it never raises."""

    def __init__(self) -> None:
        self._begun = False
        self._kind = ""  # of the open block
        self._index = -1
        self._empty = False
        self._called = False
        self._closing = False
        self._over = False

    def frame(self, raw: bytes) -> Sequence[Violation]:
        """Take the next frame; return what is wrong with it."""
        data = data_of(raw)
        if not data:
            return ()
        try:
            frame = read(data)
        except ProtocolError as error:
            return [Violation("unreadable", str(error))]
        if frame.type == "content_block_delta":
            return self._delta(frame)
        if self._over and frame.type != "ping":
            return [Violation("after_end", f"{frame.type or 'An event'} after message_stop.")]
        match frame.type:
            case "message_start":
                return self._message_start()
            case "content_block_start":
                return self._start(frame.index, frame.content_block)
            case "content_block_stop":
                return self._stop(frame.index)
            case "message_delta":
                self._closing = True
                return self._outside("message_delta")
            case "message_stop":
                self._over = True
                return self._outside("message_stop") or self._closed()
            case "error":
                self._over = True
        return ()

    def _message_start(self) -> Sequence[Violation]:
        begun, self._begun = self._begun, True
        return [Violation("second_start", "A second message_start.")] if begun else ()

    def _delta(self, frame: Frame) -> Sequence[Violation]:
        delta = frame.delta
        if not self._kind or frame.index != self._index or delta is None:
            return [Violation("outside_block", "A delta outside its block.")]
        if delta.text:
            self._empty = False
        wants = _DELTAS.get(delta.type)
        if wants is not None and wants != self._kind:
            return [Violation("wrong_delta", f"{delta.type} in a block of {self._kind}.")]
        return ()

    def _start(self, index: int, block: Block | None) -> Sequence[Violation]:
        found = [*self._outside("content_block_start")]
        if index != self._index + 1:
            found.append(Violation("index", f"Block {index} follows block {self._index}."))
        if self._closing:
            found.append(Violation("outside_message", "A block after the last."))
        self._kind, self._index = (block.type if block is not None else "?"), index
        self._empty = self._kind == "text" and not (block is not None and block.text)
        if self._called and self._kind != "tool_use":
            found.append(Violation("after_tool_use", f"A block of {self._kind} after tool_use."))
        self._called = self._called or self._kind == "tool_use"
        return found

    def _stop(self, index: int) -> Sequence[Violation]:
        if not self._kind or index != self._index:
            return [Violation("outside_block", "The end of a block that is not open.")]
        self._kind = ""
        return [Violation("empty_block", "An empty text block.")] if self._empty else ()

    def _outside(self, type: str) -> Sequence[Violation]:
        kind, self._kind = self._kind, ""
        if not self._begun:
            return [Violation("outside_message", f"{type} outside the message.")]
        return [Violation("open_block", f"{type} inside a block of {kind}.")] if kind else ()

    def _closed(self) -> Sequence[Violation]:
        return () if self._closing else [Violation("no_delta", "message_stop without message_delta.")]
