"""The last look at response events before they leave: rising numbers, deltas in open contents, exactly one end."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from luthien_stream.core.lens import Violation
from luthien_stream.core.sse import data_of
from luthien_stream.formats.errors import ProtocolError
from luthien_stream.formats.openai_responses.wire import (
    ANNOTATION,
    CONTENT_ADDED,
    CONTENT_DONE,
    ENDS,
    ITEM_ADDED,
    ITEM_DONE,
    LIFE,
    OF_ITEMS,
    SILENT,
    TEXT_DELTAS,
    TEXT_DONE,
    Frame,
    is_done,
    read,
)

_OF_CONTENTS = frozenset({*TEXT_DELTAS, *TEXT_DONE, CONTENT_DONE, ANNOTATION})


class StreamChecker:
    """Follows one streamed answer frame by frame; it never raises."""

    def __init__(self) -> None:
        self._number = -1
        self._begun = False
        self._over = False
        self._last = -1  # the largest position of an item
        self._open: set[int] = set()
        self._contents: dict[tuple[int, int], int] = {}  # the digest of each open content's text

    def frame(self, raw: bytes) -> Sequence[Violation]:
        """Take the next frame; return what is wrong with it."""
        data = data_of(raw)
        if not data or is_done(data):
            return ()
        try:
            frame = read(data)
        except ProtocolError as error:
            return [Violation("unreadable", str(error))]
        found = self._numbered(frame)
        if self._over and frame.type not in SILENT:
            return [*found, Violation("after_end", f"{frame.type or 'An event'} after the end.")]
        return [*found, *self._placed(frame)]

    def _numbered(self, frame: Frame) -> Sequence[Violation]:
        number, before = frame.sequence_number, self._number
        # An error may come from another place than the rest of the stream, which does not know its numbers.
        if number is None or frame.type in SILENT or frame.type == "error":
            return ()
        self._number = number
        return [Violation("number", f"Number {number} follows {before}.")] if number <= before else ()

    def _placed(self, frame: Frame) -> Sequence[Violation]:
        type = frame.type
        if type in ENDS or (not type and frame.error):
            self._over = True
            return self._ended(type)
        if type in LIFE:
            twice = self._begun and type == "response.created"
            self._begun = True
            return [Violation("second_start", "A second response.created.")] if twice else ()
        if type == ITEM_ADDED:
            return self._added(frame.output_index)
        if type in OF_ITEMS and frame.output_index not in self._open:
            return [Violation("outside_item", f"{type} outside its item.")]
        if type == ITEM_DONE:
            self._open.discard(frame.output_index)
            self._contents = {at: digest for at, digest in self._contents.items() if at[0] != frame.output_index}
            return ()
        return self._content(frame, (frame.output_index, frame.content_index))

    def _added(self, position: int) -> Sequence[Violation]:
        found = [] if self._begun else [Violation("outside_response", "An item before response.created.")]
        if position <= self._last:
            found.append(Violation("index", f"Item {position} follows item {self._last}."))
        self._last = max(self._last, position)
        self._open.add(position)
        return found

    def _content(self, frame: Frame, at: tuple[int, int]) -> Sequence[Violation]:
        type = frame.type
        if type == CONTENT_ADDED:
            twice = at in self._contents
            self._contents[at] = 0
            return [Violation("second_content", "A content begins twice.")] if twice else ()
        if type not in _OF_CONTENTS:
            return ()
        if at not in self._contents:
            return [Violation("outside_content", f"{type} outside its content.")]
        if type in TEXT_DELTAS and isinstance(frame.delta, str):
            self._contents[at] = _digest(frame.delta, self._contents[at])
        elif type in TEXT_DONE and _digest(frame.text or frame.refusal or "", 0) != self._contents[at]:
            return [Violation("text_differs", "A text ends as another one than was streamed.")]
        return ()

    def _ended(self, type: str) -> Sequence[Violation]:
        if type == "response.completed" and (self._open or not self._begun):
            return [Violation("open_item", "response.completed inside an item, or outside the response.")]
        return ()


def _digest(text: str, before: int) -> int:
    return crc32(text.encode("utf-16-le", "surrogatepass"), before)
