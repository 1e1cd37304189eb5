"""The text that a policy has not decided on yet: events in order, and which of them may leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from luthien_stream.events.answer import Text, Thinking
from luthien_stream.policy.errors import BadEdit, HoldTooLarge
from luthien_stream.policy.stream import HOLD_LIMIT

Edit = tuple[int, int, str]
"""Start, end (after the start) and what stands there instead."""
Edits = Callable[[str, bool], tuple[int, Sequence[Edit]]]
Piece = Text | Thinking


class Tail:
    """See the module. Whole events leave; one that is cut by an undecided character waits."""

    __slots__ = ("_edits", "_pieces", "_text", "made")

    def __init__(self, edits: Edits) -> None:
        self._edits = edits
        self._pieces: list[Piece] = []
        self._text = ""
        self.made = 0
        """Edits of what has left."""

    def take(self, piece: Piece) -> Sequence[Piece]:
        """Take the next piece; return what may leave. Raises `HoldTooLarge`."""
        if not self._pieces:
            safe, edits = self._edits(piece.text, False)
            if not edits and safe >= len(piece.text):
                return (piece,)
        elif self._begins_anew(piece):
            return [*self.flush(), *self.take(piece)]
        self._pieces.append(piece)
        self._text += piece.text
        if len(self._text) > HOLD_LIMIT:
            raise HoldTooLarge(f"holds back {len(self._text)} characters of text; decide earlier")
        return self._release(*self._edits(self._text, False))

    def flush(self) -> Sequence[Piece]:
        """The text is over: return all that is left."""
        if not self._pieces:
            return ()
        _, edits = self._edits(self._text, True)
        return self._release(len(self._text), edits)

    def _begins_anew(self, piece: Piece) -> bool:
        last = self._pieces[-1]
        return type(piece) is not type(last) or not (piece.part is None or last.part is None or piece.part == last.part)

    def _release(self, safe: int, edits: Sequence[Edit]) -> Sequence[Piece]:
        check(edits, len(self._text))
        released: list[Piece] = []
        at = cut = count = 0
        for number, piece in enumerate(self._pieces, 1):
            at += len(piece.text)
            if at > safe:
                break
            if not any(start < at < end for start, end, _ in edits):
                cut, count = at, number
        self.made += sum(start < cut for start, _, _ in edits)
        at = 0
        for piece in self._pieces[:count]:
            changed = piece.with_text(rewrite(piece.text, at, edits))
            at += len(piece.text)
            if changed.text:
                released.append(changed)
        self._pieces, self._text = self._pieces[count:], self._text[cut:]
        return released


def check(edits: Sequence[Edit], length: int) -> None:
    """Raise `BadEdit` unless edits are in order, do not overlap, and lie in a text of `length` characters."""
    at = 0
    for start, end, _ in edits:
        if not at <= start < end <= length:
            raise BadEdit(f"edit ({start}, {end}) of {length} characters is out of order, empty, or outside the text")
        at = end


def rewrite(text: str, at: int, edits: Sequence[Edit]) -> str:
    """Return `text`, which stands at `at` in what the edits count from, with the edits that touch it."""
    end = at + len(text)
    out: list[str] = []
    done = at
    for start, stop, replacement in edits:
        if stop <= at or start >= end:
            continue
        if start >= at:
            out += text[done - at : start - at], replacement
        done = min(stop, end)
    if not out and done == at:
        return text
    return "".join(out) + text[done - at :]
