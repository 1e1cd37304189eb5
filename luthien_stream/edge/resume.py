"""`GET /v1/calls/{id}/stream`: a call's final lane again, from a position on, for the client that began it.

Events carry their ordinal as `id`, which is what `Last-Event-ID` and `?after=` name. What the log no longer has is said
in an event `gap`; a body that was not streamed comes as one event `body`.
"""

from __future__ import annotations

import asyncio
import re
import time

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from luthien_stream.bus.port import Bus
from luthien_stream.core.lens import Lens
from luthien_stream.edge import failure, wire
from luthien_stream.edge.delivery import KEEPALIVE_S, Delivery
from luthien_stream.edge.directory import Known
from luthien_stream.edge.failure import failure_of
from luthien_stream.edge.lane import EdgeGone, Gap, Piece, reading
from luthien_stream.edge.refusals import RequestInvalid
from luthien_stream.errors import BusError
from luthien_stream.events import log

FROM_START = -1
KEEPALIVE = b": keep-alive\n\n"
LONGEST_S = 3600.0
_POSITION = re.compile(r"-1|\d{1,15}")


def position_of(request: web.Request) -> int:
    """The position that a client names, `FROM_START` for none. Raises `RequestInvalid` for anything else."""
    named = [request.headers.get("last-event-id"), request.query.get("after")]
    given = {text for text in named if text is not None}
    if len(given) > 1:
        raise RequestInvalid("`Last-Event-ID` and `after` name two positions: send one")
    text = given.pop() if given else "-1"
    if not _POSITION.fullmatch(text):
        raise RequestInvalid("The position must be the `id` of an event of this stream, or -1 for its beginning")
    return int(text)


async def resume(request: web.Request, bus: Bus, known: Known, lens: Lens, after: int) -> web.StreamResponse:
    """Send the lane behind `after`, then what comes, to its end.

    Raises `BusError` before the first byte, `TimeoutError` where the client does not take it.
    """
    delivery = Delivery(request)
    try:
        return await _send(delivery, bus, known, lens, after)
    except TimeoutError:
        delivery.abort()
        raise


async def _send(delivery: Delivery, bus: Bus, known: Known, lens: Lens, after: int) -> web.StreamResponse:
    async with asyncio.timeout(LONGEST_S), reading(bus, known) as lane:
        headers = CIMultiDict({"Content-Type": wire.EVENT_STREAM, wire.CALL_HEADER: known.call})
        await delivery.make_ready(200, headers)
        delivery.begin()
        while not lane.over:
            try:
                pieces = await lane.read()
            except (EdgeGone, BusError) as error:
                message = str(error) if isinstance(error, EdgeGone) else "The log (Redis) cannot be read: try again"
                delivery.write([lens.error_frame(error.status, message, call=known.call)])
                break
            frames = [frame for piece in pieces for frame in _events(piece, lens, after, known.call)]
            if frames:
                delivery.write(frames)
                await delivery.caught_up()
            elif time.monotonic() - delivery.wrote_at > KEEPALIVE_S:
                delivery.write([KEEPALIVE])
        return await delivery.end()


def _events(piece: Piece, lens: Lens, after: int, call: str) -> list[bytes]:
    match piece:
        case Gap() if piece.earliest > after + 1:
            said = msgspec.json.encode({"after": after, "earliest": piece.earliest})
            return [b"event: gap\ndata: %b\n\n" % said]
        case log.ChunkReceived() | log.ChunkReleased() if piece.n > after:
            return [_numbered(piece.n, piece.frame, piece.kind)]
        case log.ResponseFailed(error=failure.PROVIDER_ERROR):
            return []  # told by the provider itself, in the frames before
        case log.ResponseFailed() | log.ResponseAborted():
            why = failure_of(piece)
            assert why is not None
            frame = lens.error_frame(why.status, why.message, code=why.error, call=call)
            return [_numbered(piece.n, frame, "frame")]
    return []


def _numbered(n: int, frame: bytes, kind: str) -> bytes:
    if kind == "body":
        frame = b"event: body\n" + b"".join(b"data: %b\n" % line for line in frame.split(b"\n")) + b"\n"
    elif kind == "rest":
        return b""  # half an event, which no client could read
    return b"id: %d\n%b" % (n, frame)
