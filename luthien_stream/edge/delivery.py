"""The client's end of a call: status and headers once, then bytes, written without waiting for the client.

What a slow client has not taken lies in the socket's buffer; `unsent` tells how much, and the call stops reading the
provider before it is too much.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import cast

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict

DRAIN_S = 60.0
"""How long a client may take for the last bytes."""
UNSENT_BYTES = 1 << 20
"""Bytes that a client has not taken, at most."""
KEEPALIVE_S = 9.0
"""Silence towards a client before a keep-alive: with the second between two looks never more than 10 s."""
PAUSE_S = 0.05


class _Streamed(web.StreamResponse):
    """Keeps its head until the first bytes of the body leave: uvloop sends both in one write."""

    _send_headers_immediately = False


class Delivery:
    """One streamed HTTP answer. Bytes leave in the order of the calls; nothing but `end` and `whole` waits.

    Status and headers may be made `ready` before there is anything to send: that takes longer than sending it.
    """

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._response: web.StreamResponse | None = None
        self._head: AbstractStreamWriter | None = None
        """What sends status and headers, while they are ready and not sent."""
        self._chunked = request.version >= HttpVersion11
        self.bytes = 0
        """Bytes of content written."""
        self.wrote_at = time.monotonic()

    @property
    def begun(self) -> bool:
        """Status and headers have been sent, as far as the client is there."""
        return self._response is not None and self._head is None

    @property
    def ready(self) -> bool:
        """Status and headers are made: `write` sends them."""
        return self._response is not None

    async def make_ready(self, status: int, headers: CIMultiDict[str]) -> None:
        """Make status and headers, for `begin` or the first `write` to send."""
        headers["Cache-Control"] = "no-cache"
        headers["X-Accel-Buffering"] = "no"
        response = _Streamed(status=status, headers=headers)
        if self._chunked:
            response.enable_chunked_encoding()
        else:
            response.force_close()  # the end of the connection is all that tells where the answer ends
        self._head = await response.prepare(self._request)
        self._response = response

    def begin(self) -> None:
        """Send status and headers, once they are ready. A client that has gone is found by its connection, not here."""
        head, self._head = self._head, None
        transport = self._transport
        if head is not None and transport is not None and not transport.is_closing():
            head.send_headers()
            self.wrote_at = time.monotonic()

    async def whole(self, response: web.Response) -> web.StreamResponse:
        """Send an answer that is not streamed, and wait until the client has it. Raises `TimeoutError`.

        Status and headers that were made ready are thrown away; their coding stays.
        """
        if self._response is not None and self._chunked:
            response.enable_chunked_encoding()
        self._head = None
        async with asyncio.timeout(DRAIN_S):
            await response.prepare(self._request)
            await response.write_eof()
        self.bytes = len(response.body) if isinstance(response.body, bytes) else 0
        return response

    def write(self, frames: Sequence[bytes]) -> None:
        """Write whole frames as one HTTP chunk. A client that has gone is found by its connection, not here."""
        data = frames[0] if len(frames) == 1 else b"".join(frames)
        if self._head is not None:
            self.begin()
        transport = self._transport
        if not data or transport is None or transport.is_closing():
            return
        # Straight to the transport: the response's own `write` may wait for the client.
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        self.bytes += len(data)
        self.wrote_at = time.monotonic()

    def unsent(self) -> int:
        """Bytes that the client has not taken yet."""
        transport = self._transport
        return transport.get_write_buffer_size() if transport is not None else 0

    async def caught_up(self) -> None:
        """Wait until the client has taken most of what it was sent. Raises `TimeoutError`."""
        async with asyncio.timeout(DRAIN_S):
            while True:
                if self.unsent() <= UNSENT_BYTES:
                    return
                await asyncio.sleep(PAUSE_S)

    async def end(self) -> web.StreamResponse:
        """End the answer as it should, and wait until the client has it. Raises `TimeoutError`."""
        assert self._response is not None
        self._head = None  # if nothing was written, it leaves with the end
        async with asyncio.timeout(DRAIN_S):
            await self._response.write_eof()
        return self._response

    def break_off(self) -> web.StreamResponse:
        """Close the connection without the end, after what was written: the client must not take it for complete."""
        assert self._response is not None
        if self._request.transport is not None:
            self._request.transport.close()
        return self._response

    def withdraw(self) -> None:
        """Close the connection if status and headers were made ready and nothing came of them."""
        if self._head is not None:
            self.abort()

    def abort(self) -> None:
        """Close the connection now and drop what the client has not taken."""
        transport = self._transport
        if transport is not None:
            transport.abort()

    @property
    def _transport(self) -> asyncio.WriteTransport | None:
        # Not by `isinstance`: uvloop's transports do not derive from asyncio's.
        return cast("asyncio.WriteTransport | None", self._request.transport)
