"""A client that costs little: one connection, one request at a time, and when each byte of the answer came.

Nothing is parsed while it is measured; `Reply` takes the answer apart afterwards.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from typing import Self, cast

_END = b"0\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Broken(Exception):
    """The connection ended before the answer did."""


class Reply:
    """One answer as it came: pieces of bytes with the monotonic nanoseconds of their arrival."""

    def __init__(self, sent_at: int) -> None:
        self.sent_at = sent_at
        self.arrivals: list[tuple[int, bytes]] = []

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(self.arrivals[0][1][len("HTTP/1.1 ") :][:3])

    def payload(self) -> Iterator[tuple[int, bytes]]:
        """The body's pieces without HTTP's framing, with their arrival."""
        head, rest = b"", bytearray()
        chunked, left = False, 0
        for at, data in self.arrivals:
            if not head:
                rest += data
                found, blank, after = bytes(rest).partition(b"\r\n\r\n")
                if not blank:
                    continue
                head, rest = found, bytearray(after)
                chunked = b"chunked" in head.lower()
            else:
                rest += data
            if not chunked:
                yield at, bytes(rest)
                rest.clear()
                continue
            piece, left = _unchunk(rest, left)
            if piece:
                yield at, piece

    def body(self) -> bytes:
        """The whole body."""
        return b"".join(piece for _, piece in self.payload())


def _unchunk(rest: bytearray, left: int) -> tuple[bytes, int]:
    """Take what is complete out of `rest`; `left` bytes of a chunk (its line end counted) are still to come."""
    out = bytearray()
    while rest:
        if left == 0:
            size, line_end, _ = rest.partition(b"\r\n")
            if not line_end or not size:
                break
            del rest[: len(size) + 2]
            left = int(size, 16) + 2
        taken = bytes(rest[:left])
        del rest[:left]
        out += taken[: max(0, left - 2)]
        left -= len(taken)
    return bytes(out), left


class Connection(asyncio.Protocol):
    """Keeps its connection from request to request, as SDKs do."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._transport: asyncio.Transport | None = None
        self._reply: Reply | None = None
        self._done: asyncio.Future[None] | None = None
        self._missing: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def ask(self, request: bytes, deadline_s: float) -> Reply:
        """Send a request, return the whole answer. Raises `Broken`, `TimeoutError`, `OSError`."""
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            await loop.create_connection(lambda: self, self._host, self._port)
        assert self._transport is not None
        self._missing, self._done = None, loop.create_future()
        self._reply = Reply(time.monotonic_ns())
        self._transport.write(request)
        async with asyncio.timeout(deadline_s):
            await self._done
        return self._reply

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self._reply is None or self._done is None or self._done.done():
            return
        self._reply.arrivals.append((time.monotonic_ns(), data))
        if len(self._reply.arrivals) == 1 and (found := _LENGTH.search(data)):
            self._missing = int(found[1]) + data.index(b"\r\n\r\n") + 4
        if self._missing is not None:
            self._missing -= len(data)
        if self._missing == 0 or (self._missing is None and data.endswith(_END)):
            self._done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        if self._done is not None and not self._done.done():
            self._done.set_exception(Broken(str(exc or "closed")))
