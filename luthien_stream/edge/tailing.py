"""`GET /luthien/api/tail`: the log as it is written, as server-sent events, for any number of careful readers.

No event is kept for a subscriber but what one read brings: the log is the buffer. Whoever is slow falls behind in the
log, and is told what was trimmed before it came so far; whoever takes nothing for a while is left. Ids of events are
marks: with `Last-Event-ID` the stream goes on behind the last one that arrived.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing

import msgspec
import structlog
from aiohttp import web

from luthien_stream.bus.port import Bus
from luthien_stream.errors import LuthienError
from luthien_stream.events.json_form import to_json
from luthien_stream.tail.place import resume
from luthien_stream.tail.positions import Gap
from luthien_stream.tail.reading import Pause
from luthien_stream.tail.since import parse_since
from luthien_stream.tail.wanted import asked_for
from luthien_stream.tail.watching import Shown, Undecided, Watching

logger = structlog.get_logger()

SUBSCRIBERS = 16
"""At once: each reads the whole log, in the edge's own process."""
PAGE = 16
"""Entries of one stream in one read: a subscriber holds two such pages (see `Merge`), and clients wait for no more."""
ALIVE_S = 10.0
"""After this long without an event a comment is sent, so that nobody between takes the connection for dead."""
WRITE_S = 20.0
"""How long a subscriber may take nothing."""
PARAMETERS = ("view", "filter", "call", "session", "model", "type", "since", "last_event_id")
_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store", "x-accel-buffering": "no"}


class BadQuery(LuthienError):
    """What is asked for cannot be understood."""


class Tailing:
    """All subscribers of one edge."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.subscribers = 0

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer a request with the stream, 400 for what cannot be understood, 503 if there are too many."""
        try:
            watching = self._watching(request)
        except LuthienError as error:
            return web.json_response({"error": str(error)}, status=400)
        if self.subscribers >= SUBSCRIBERS:
            said = f"{SUBSCRIBERS} tails are open, which is all that this edge serves: close one, or try again"
            return web.json_response({"error": said}, status=503, headers={"retry-after": "5"})
        self.subscribers += 1
        try:
            return await self._stream(request, watching)
        finally:
            self.subscribers -= 1

    def _watching(self, request: web.Request) -> Watching:
        asked = request.query
        if unknown := sorted(set(asked) - set(PARAMETERS)):
            raise BadQuery(f"{unknown[0]!r} is no parameter of this stream: {', '.join(PARAMETERS)}")
        mark = request.headers.get("last-event-id") or asked.get("last_event_id", "")
        return Watching(
            self._bus,
            asked_for(
                asked.get("view", "events"),
                asked.get("filter", ""),
                types=asked.getall("type", []),
                **{name: asked.get(name, "") for name in ("call", "session", "model")},
            ),
            since=parse_since(asked["since"]) if asked.get("since") else None,
            resume=resume(mark) if mark else None,
            page=PAGE,
            facts=False,
        )

    async def _stream(self, request: web.Request, watching: Watching) -> web.StreamResponse:
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        sent_at = time.monotonic()
        try:
            async with aclosing(watching.events()) as events:
                await _send(response, "retry: 1000\n\n")
                async for each in events:
                    now = time.monotonic()
                    if not isinstance(each, Pause):
                        text = _text(each, watching)
                    elif request.transport is None or request.transport.is_closing():
                        break
                    elif now >= sent_at + ALIVE_S:
                        text = _alive(each, watching)
                    else:
                        continue
                    await _send(response, text)
                    sent_at = now
        except TimeoutError:
            logger.warning("tail_left", why=f"nothing was taken for {WRITE_S:g} s", remote=request.remote)
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            pass  # the subscriber has gone
        return response


async def _send(response: web.StreamResponse, text: str) -> None:
    async with asyncio.timeout(WRITE_S):
        await response.write(text.encode("utf-8", "replace"))


def _text(each: Shown | Gap | Undecided, watching: Watching) -> str:
    """An event of the stream. Only events of the log have ids: a gap that did not arrive is told again."""
    match each:
        case Shown(seen, _):
            return f"id: {watching.mark()}\ndata: {_json(to_json(seen.event, seen.src, seen.entry))}\n\n"
        case Gap():
            return f"event: gap\ndata: {_json(each)}\n\n"
        case Undecided():
            return f"event: undecided\ndata: {_json(each)}\n\n"


def _alive(pause: Pause, watching: Watching) -> str:
    """A comment; with the mark, so that what did not fit needs not be read again after a return."""
    mark = watching.mark()
    comment = ": the log does not answer\n" if pause.away else ": alive\n"
    return f"{comment}\n" if mark is None else f"{comment}id: {mark}\n\n"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
