"""Which received chunk a released frame is: the same bytes object, so a copy is never taken for the original."""

from __future__ import annotations

from typing import Literal

Kind = Literal["frame", "rest", "body"]
Found = tuple[int, Kind]
LIMIT = 16 * 1024 * 1024
"""Bytes of frames that are remembered: twice what a policy may hold."""


class Ordinals:
    """Frames that came in and have not left."""

    __slots__ = ("_frames", "_size")

    def __init__(self) -> None:
        self._frames: dict[int, tuple[bytes, Found]] = {}
        self._size = 0

    def keep(self, frame: bytes, found: Found) -> None:
        """Remember a frame that did not leave at once; the oldest are forgotten over `LIMIT`."""
        self._frames[id(frame)] = (frame, found)
        self._size += len(frame)
        while self._size > LIMIT:
            self.take(next(iter(self._frames.values()))[0])

    def take(self, frame: bytes) -> Found | None:
        """Return the ordinal and kind of a frame that leaves, None if it did not come in."""
        found = self._frames.pop(id(frame), None)
        if found is None:
            return None
        self._size -= len(frame)
        return found[1]
