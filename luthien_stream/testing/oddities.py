"""Styles of a stream: legal ways to write the same answer that have broken gateways."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

Style = Callable[[Sequence[bytes]], list[bytes]]


def crlf(frames: Sequence[bytes]) -> list[bytes]:
    """End every line with CR LF, as some proxies do."""
    return [frame.replace(b"\n", b"\r\n") for frame in frames]


def spaced(frames: Sequence[bytes]) -> list[bytes]:
    """Write JSON with blanks after its commas and colons, non-ASCII escaped, and none after the field's colon."""
    return [b"\n".join(_spaced(line) for line in frame.split(b"\n")) for frame in frames]


def odd(frames: Sequence[bytes]) -> list[bytes]:
    """Add comments, an `id:` and an unknown field to each frame's JSON, and nulls where nobody needs them."""
    odder = [b": connected\n\n"]
    for number, frame in enumerate(frames):
        odder.append(_with_field(frame))
        if number % 5 == 3:
            odder.append(b": keep-alive %d\n\n" % number)
    return odder


def same(frames: Sequence[bytes]) -> list[bytes]:
    """Leave the frames alone: the style says how they are sent."""
    return list(frames)


STYLES: Mapping[str, Style] = {"crlf": crlf, "spaced": spaced, "odd": odd, "bytes": same, "timed": same}
"""All styles. `bytes`: written in pieces of 7 bytes, whatever the frames. `timed`: see `STAMP` in `scenarios`."""


def _spaced(line: bytes) -> bytes:
    if not line.startswith(b"data: {"):
        return line
    return b"data:" + json.dumps(json.loads(line[6:])).encode()


def _with_field(frame: bytes) -> bytes:
    return frame.replace(
        b"data: {", b'data: {"x_unknown": {"type": "content_block_stop", "index": 7, "list": [null, 1.0]}, ', 1
    )
