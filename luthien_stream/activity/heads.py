"""The daily files of heads: one line a sealed call, each with the digest of the line before it.

Who changes the database cannot change these along with it, if they lie elsewhere or are copied away. The last line of a
call counts. What is gone for good (a day past its retention, what somebody had forgotten) has lines too.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from luthien_stream.config.instance import make_private

FOLDER = "heads"


class HeadLine(Struct, frozen=True):
    """One line as it was read. `broken`: the line before is not the one that it was written behind."""

    file: Path
    number: int
    said: Mapping[str, Any]
    broken: bool = False


class HeadsFile:
    """The files of one recorder. Several on one machine may share the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, heads: Iterable[tuple[str, bytes, int]]) -> None:
        """Append sealed calls: (call id, head, rows). Returns when they are on the disk. Raises `OSError`."""
        self._append([{"call": call, "head": head.hex(), "rows": rows} for call, head, rows in heads])

    def note(self, kind: str, **facts: Any) -> None:
        """Append what is legitimately gone: `dropped` (`day`), `forgotten` (`calls`). Raises `OSError`."""
        self._append([{"note": kind, **facts}])

    def _append(self, lines: list[dict[str, Any]]) -> None:
        if not lines:
            return
        make_private(self._folder)
        now = datetime.now(UTC)
        path = self._folder / f"{now:%Y-%m-%d}.jsonl"
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            last = _last_line(file)
            for line in lines:
                made = msgspec.json.encode({**line, "time": f"{now:%Y-%m-%dT%H:%M:%S}Z", "prev": _digest(last)})
                file.write(made + b"\n")
                last = made
            file.flush()
            os.fsync(file.fileno())


def read_heads(folder: Path) -> Iterator[HeadLine]:
    """Yield all lines of a folder, in order. A line that cannot be read is `broken`."""
    for path in sorted(folder.glob("*.jsonl")):
        last = b""
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            try:
                said = msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.MsgspecError:
                said = {}
            yield HeadLine(path, number, said, said.get("prev") != _digest(last))
            last = line


def _digest(line: bytes) -> str:
    return sha256(line).hexdigest()[:32] if line else ""


def _last_line(file: Any) -> bytes:
    size = file.seek(0, os.SEEK_END)
    reach = min(size, 64 * 1024)
    file.seek(size - reach)
    lines: list[bytes] = file.read(reach).splitlines()
    return lines[-1] if lines else b""
