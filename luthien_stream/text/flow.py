"""Pieces of a text on their way: each leaves when all of it is decided, with the edits that fall on it.

The text of one part is looked at by a `Scan` of its own, which counts characters from the beginning of the part.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from luthien_stream.policy.errors import HoldTooLarge
from luthien_stream.policy.stream import HOLD_LIMIT
from luthien_stream.policy.tail import Edit, Piece, rewrite


class Scan(Protocol):
    """What decides on one text. It must come to the same edits however the text is cut."""

    edits: deque[Edit]
    """In order, without overlap, counted from the beginning of the text; whoever applies them takes them out."""

    def more(self, text: str) -> int:
        """Take what comes next; return how many characters are decided since the beginning of the text."""

    def close(self) -> None:
        """The text is over: decide on all of it."""


class Flow:
    """See the module. Whole pieces leave; one that is cut by an undecided character waits."""

    __slots__ = ("_end", "_last", "_left", "_make", "_pieces", "_scan")

    def __init__(self, make: Callable[[], Scan]) -> None:
        """`make` makes the scan of each text."""
        self._make = make
        self._scan: Scan | None = None
        self._last: Piece | None = None
        self._pieces: deque[Piece] = deque()
        self._left = self._end = 0
        """Characters of the text that have left, and that have come."""

    @property
    def held(self) -> int:
        """Characters that have come and not left."""
        return self._end - self._left

    def take(self, piece: Piece) -> Sequence[Piece]:
        """Take the next piece; return what may leave. Raises `HoldTooLarge`."""
        if self._last is not None and _begins_anew(piece, self._last):
            return [*self.flush(), *self.take(piece)]
        self._last, scan = piece, self._scan
        if scan is None:
            scan = self._scan = self._make()
        self._end += len(piece.text)
        decided = scan.more(piece.text)
        if not self._pieces and not scan.edits and decided >= self._end:
            self._left = self._end
            return (piece,)
        self._pieces.append(piece)
        if self.held > HOLD_LIMIT:
            raise HoldTooLarge(f"holds back {self.held} characters of text; decide earlier")
        return self._release(scan, decided)

    def flush(self) -> Sequence[Piece]:
        """The text is over: return all that is left; the next piece begins another text."""
        scan, self._scan, self._last = self._scan, None, None
        if scan is None:
            return ()
        released: Sequence[Piece] = ()
        if self._pieces:
            scan.close()
            released = self._release(scan, self._end)
        self._left = self._end = 0
        return released

    def _release(self, scan: Scan, decided: int) -> Sequence[Piece]:
        released: list[Piece] = []
        while self._pieces and self._left + len(self._pieces[0].text) <= decided:
            piece = self._pieces.popleft()
            at, self._left = self._left, self._left + len(piece.text)
            changed = piece.with_text(rewrite(piece.text, at, scan.edits)) if scan.edits else piece
            while scan.edits and scan.edits[0][1] <= self._left:
                scan.edits.popleft()
            if changed is piece or changed.text:
                released.append(changed)
        return released


def _begins_anew(piece: Piece, last: Piece) -> bool:
    """True if two pieces are of different texts; one without a part goes on with whatever is open."""
    if type(piece) is not type(last):
        return True
    return piece.part is not last.part and not (piece.part is None or last.part is None or piece.part == last.part)


def edited(scan: Scan, text: str) -> str:
    """Return a whole text as a fresh `scan` leaves it."""
    scan.more(text)
    scan.close()
    return rewrite(text, 0, scan.edits) if scan.edits else text
