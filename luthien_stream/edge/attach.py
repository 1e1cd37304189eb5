"""A request that an SDK sends again gets the answer that is already on its way, so that it is not paid for twice."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web
from multidict import CIMultiDict

from luthien_stream.bus.port import Bus
from luthien_stream.core.lens import Lens
from luthien_stream.edge import failure, wire
from luthien_stream.edge.delivery import KEEPALIVE_S, Delivery
from luthien_stream.edge.directory import Known
from luthien_stream.edge.failure import Failure, failure_of
from luthien_stream.edge.lane import EdgeGone, Gap, LaneReader, Piece, reading
from luthien_stream.errors import BusError
from luthien_stream.events import log

LONGEST_S = 3600.0


class _Lost(Exception):
    """The answer cannot be had: it failed, or the log no longer has all of it."""

    def __init__(self, why: Failure) -> None:
        super().__init__(why.message)
        self.why = why


_GONE = Failure("log_unavailable", "The rest of the answer is no longer in the log. Send the request again", 503)


class Attachment:
    """One client at another one's answer."""

    def __init__(self, request: web.Request, known: Known, lens: Lens, *, streamed: bool, cookies: bool) -> None:
        self._known, self._lens, self._streamed, self._cookies = known, lens, streamed, cookies
        self._delivery = Delivery(request)
        self._since = time.monotonic()
        self._head: log.ResponseStarted | None = None
        self._frames: list[bytes] = []
        self._whole = False
        self.complete = False
        """The client has the whole answer."""

    async def answer(self, bus: Bus) -> web.StreamResponse | None:
        """Give the answer. None if it cannot be had and nothing was sent yet."""
        try:
            async with asyncio.timeout(LONGEST_S), reading(bus, self._known) as lane:
                response = await self._all(lane)
            self.complete = True
            return response
        except (_Lost, BusError, EdgeGone) as error:
            if not self._delivery.ready:
                return None
            why = error.why if isinstance(error, _Lost) else _GONE
            self._delivery.write(
                [self._lens.error_frame(why.status, why.message, code=why.error, call=self._known.call)]
            )
            return self._delivery.break_off()
        except TimeoutError:
            self._delivery.abort()
            raise

    async def _all(self, lane: LaneReader) -> web.StreamResponse:
        while not lane.over:
            for piece in await lane.read():
                self._take(piece)
            await self._give()
        if self._whole:
            headers = self._headers()
            headers.setdefault("Content-Type", "application/json")
            return await self._delivery.whole(web.Response(headers=headers, body=b"".join(self._frames)))
        await self._make_ready()
        return await self._delivery.end()

    def _take(self, piece: Piece) -> None:
        match piece:
            case Gap():
                raise _Lost(_GONE)
            case log.ResponseStarted():
                self._head = piece
                if piece.status >= 400:
                    raise _Lost(_GONE)
            case log.ChunkReceived() | log.ChunkReleased():
                self._frames.append(piece.frame)
                self._whole = self._whole or piece.kind == "body"
            case log.ResponseFailed(error=failure.PROVIDER_ERROR):
                pass  # told by the provider itself, in the frames before
            case log.ResponseFailed() | log.ResponseAborted():
                raise _Lost(failure_of(piece) or _GONE)

    async def _give(self) -> None:
        if self._whole:
            return
        if self._frames:
            await self._make_ready()
            frames, self._frames = self._frames, []
            self._delivery.write(frames)
            await self._delivery.caught_up()
        elif self._streamed and time.monotonic() - max(self._since, self._delivery.wrote_at) > KEEPALIVE_S:
            await self._make_ready()
            self._delivery.write([self._lens.keepalive()])

    async def _make_ready(self) -> None:
        if not self._delivery.ready:
            headers = self._headers()
            headers.setdefault("Content-Type", wire.EVENT_STREAM)
            await self._delivery.make_ready(200, headers)

    def _headers(self) -> CIMultiDict[str]:
        came = self._head.headers if self._head is not None else ()
        return wire.to_client(came, self._known.call, self._known.format, cookies=self._cookies)
