"""How far back an edge keeps its inbox behind what open calls need, so that a client can come back for its answer."""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from luthien_stream.bus.port import START

KEPT_S = 120.0
"""How long what is no longer needed is kept."""
KEPT_BYTES = 32 << 20
"""More than this is not kept, whatever its age."""


class _Mark(Struct, frozen=True):
    at: float
    position: str
    written: int


class Reach:
    """Marks made now and then: where the inbox stood, and how much had been written to it."""

    def __init__(self) -> None:
        self._marks: deque[_Mark] = deque()
        self._begun = False

    def mark(self, at: float, position: str, written: int) -> str:
        """Make a mark (`at` in seconds, `written` in bytes so far); return the entry before which nothing is kept."""
        if not self._begun:
            self._begun = True
            self._marks.append(_Mark(at, START, 0))
        self._marks.append(_Mark(at, position, written))
        while len(self._marks) > 1 and (
            self._marks[0].at < at - KEPT_S or self._marks[0].written < written - KEPT_BYTES
        ):
            self._marks.popleft()
        return self._marks[0].position
