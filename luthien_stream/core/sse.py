"""Server-sent events as bytes: splits what a socket gives into frames, and reads the fields of one frame.

A frame is all bytes up to and with its blank line, so that the frames joined are the stream again. Lines end at `\\n`
or `\\r\\n` only: JSON text may hold U+2028, U+0085 and their like, which other line splitters take for line ends.
"""

from __future__ import annotations

import re

from luthien_stream.errors import UpstreamError

FRAME_LIMIT = 32 << 20
"""Bytes that one frame may have."""

_SMALL = 1 << 16
_BLANK_LINE = re.compile(rb"\n\r?\n")
_LINE_END = re.compile(rb"\r?\n")
_E, _LF = b"e\n"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class FrameTooLong(UpstreamError):
    """The provider sent more than 32 MiB without the end of a server-sent event."""


class Splitter:
    """Cuts a stream of bytes into frames, wherever the pieces were cut before."""

    def __init__(self, limit: int = FRAME_LIMIT) -> None:
        self._limit = limit
        self._open = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; return the frames that are whole now. Raises `FrameTooLong` past the limit."""
        if not self._open and data.find(b"\n\n") == len(data) - 2 >= 0 and b"\n\r\n" not in data:
            return [data]
        frames = self._plain(data) if len(self._open) < _SMALL and b"\r" not in data else self._any(data)
        if len(self._open) > self._limit:
            raise FrameTooLong()
        return frames

    def _plain(self, data: bytes) -> list[bytes]:
        """Split where all lines end with a bare line feed."""
        whole = bytes(self._open) + data
        if b"\r" in whole:
            return self._any(data)
        *frames, rest = whole.split(b"\n\n")
        self._open[:] = rest
        return [frame + b"\n\n" for frame in frames]

    def _any(self, data: bytes) -> list[bytes]:
        """Split anything; what is kept is searched only once."""
        held = self._open
        start, search = 0, max(0, len(held) - 2)
        held += data
        frames = []
        while found := _BLANK_LINE.search(held, search):
            frames.append(bytes(held[start : found.end()]))
            start = search = found.end()
        del held[:start]
        return frames

    def rest(self) -> bytes:
        """What has come since the last blank line."""
        return bytes(self._open)


def data_of(raw: bytes) -> bytes | None:
    """The data of a frame, its lines joined by `\\n`; None if the frame has none (a comment, a bare `retry:`)."""
    if raw.startswith(b"data: "):
        start = 6
    else:
        start = raw.find(b"\n") + 7
        if not raw.startswith(b"data: ", start - 6) or raw[0] != _E:
            return field_of(raw, b"data")
    if raw.find(b"\n", start) == len(raw) - 2 and raw[-1] == _LF:
        return raw[start:-2]
    return field_of(raw, b"data")


def field_of(raw: bytes, name: bytes) -> bytes | None:
    """The values of a field of a frame joined by `\\n`; None if the frame does not have it."""
    values = []
    for line in _LINE_END.split(raw.removeprefix(_BYTE_ORDER_MARK)):
        key, _, value = line.partition(b":")
        if key == name:
            values.append(value.removeprefix(b" "))
    return b"\n".join(values) if values else None


def event_of(raw: bytes) -> str:
    """The name of a frame's event, empty if it has none; the last one counts if it has several."""
    if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2:
        return ""
    names = field_of(raw, b"event")
    return names.rpartition(b"\n")[2].decode("utf-8", "replace") if names else ""


def frame_of(data: bytes, event: str = "") -> bytes:
    """A frame with this data and event name. The data must be one line."""
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data) if event else b"data: %b\n\n" % data
