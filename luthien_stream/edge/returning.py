"""Clients that come back: an SDK that sends a request again, and one that asks for the rest of an answer."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog
from aiohttp import web

from luthien_stream.bus.holds import answer_given
from luthien_stream.bus.port import Bus
from luthien_stream.core.lens import Lens
from luthien_stream.edge.asked import Asked
from luthien_stream.edge.attach import Attachment
from luthien_stream.edge.directory import Directory, retry_of
from luthien_stream.edge.refusals import CallUnknown, NotNow
from luthien_stream.edge.resume import position_of, resume
from luthien_stream.events.log import Header

log = structlog.get_logger()

RETRY_COUNT = "x-stainless-retry-count"
"""Header by which the vendors' SDKs say how often they have sent a request before."""


MOST = 64
"""Clients at once; each has a connection to the log of its own."""


class Returning:
    """What one edge does for them. Errors: `BusError`."""

    def __init__(self, bus: Bus, directory: Directory, lenses: Mapping[str, Lens], *, attaches: bool) -> None:
        """`attaches`: a repeated request gets the answer that is under way."""
        self._bus, self._directory, self._lenses, self._attaches = bus, directory, lenses, attaches
        self.busy = 0
        """Clients served now."""

    def retry(self, asked: Asked) -> str:
        """What a repeated request for the same would look like, empty if none is to be expected."""
        if not self._attaches or asked.plain or not any(name == RETRY_COUNT for name, _ in asked.headers):
            return ""
        return retry_of(self._directory.caller(asked.sender), f"{asked.path}?{asked.query}", asked.view.body)

    async def attach(self, request: web.Request, asked: Asked, retry: str) -> web.StreamResponse | None:
        """Give a repeated request the answer that is under way, or has just ended; None if there is none."""
        if not retry or dict(asked.headers)[RETRY_COUNT] == "0":
            return None
        known = await self._directory.repeated(retry)
        if known is None or self.busy >= MOST:
            return None
        log.info("retry_attached", call=known.call)
        cookies = asked.route.provider.passthrough
        attachment = Attachment(request, known, asked.lens, streamed=asked.view.streamed, cookies=cookies)
        with self._counted():
            response = await attachment.answer(self._bus)
        if attachment.complete:
            await answer_given(self._bus, known.call, delivered=True)
        return response

    async def resume(self, request: web.Request, call: str, credentials: tuple[Header, ...]) -> web.StreamResponse:
        """Send a call's answer from a position on. Raises `Refusal`."""
        after = position_of(request)
        await self._directory.begin()
        known = await self._directory.find(call)
        caller = self._directory.caller(credentials)
        if known is None or not caller or not hmac.compare_digest(known.caller, caller):
            raise CallUnknown()
        if self.busy >= MOST:
            raise NotNow("Too many clients resume their streams")
        with self._counted():
            return await resume(request, self._bus, known, self._lenses[known.format], after)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1
