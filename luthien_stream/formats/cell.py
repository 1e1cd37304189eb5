"""Gathering: the frames of one cell are kept until its events are known, then all of them point to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from luthien_stream.events.answer import Cell, Event, PartEnd
from luthien_stream.formats.errors import ProtocolError

GATHER_LIMIT = 64 << 20
"""Bytes, with what Python needs for each frame, that a decoder gathers for one cell."""
_FRAME_COST = 64


class Gather:
    """Frames that wait for their cell to be whole. Raises `ProtocolError` past its bound."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        """What is kept; not for writing."""
        self._size = 0

    def add(self, raw: bytes) -> None:
        """Keep a frame."""
        self._size += len(raw) + _FRAME_COST
        if self._size > GATHER_LIMIT:
            raise ProtocolError("The provider sent more than 64 MiB in one block.")
        self.frames.append(raw)

    def take(self) -> tuple[bytes, ...]:
        """All frames kept; none are left."""
        frames, self.frames, self._size = tuple(self.frames), [], 0
        return frames


def gathered(frames: Iterable[bytes], events: Sequence[Event]) -> list[Event]:
    """Events that share a cell. The end of a part has no bytes of its own here and does not count."""
    cell = Cell(tuple(frames), sum(not isinstance(event, PartEnd) for event in events))
    placed: list[Event] = []
    position = 0
    for event in events:
        if isinstance(event, PartEnd):
            placed.append(event)
        else:
            placed.append(replace(event, src=cell, pos=position))
            position += 1
    return placed


def silent(raw: bytes) -> bytes:
    """A frame without data. Raises `ProtocolError` if it hides a line from us that a client could see."""
    if b"\r" in raw.replace(b"\r\n", b""):
        raise ProtocolError("The provider sent a comment with a bare carriage return in it.")
    return raw


def readable(raw: bytes) -> None:
    """Raise `ProtocolError` for bytes that are no UTF-8: what reads only some fields would not notice."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError(f"The provider sent bytes that are no UTF-8: {error}.") from None
