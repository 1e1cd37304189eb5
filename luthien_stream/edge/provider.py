"""The provider's side of a call: its request, sent until one provider answers, and the answer read onto the log."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Iterator

import structlog
from msgspec import Struct

from luthien_stream.bus.port import Bus
from luthien_stream.config.targets import DEMO
from luthien_stream.edge import retry
from luthien_stream.edge.asked import Asked, View
from luthien_stream.edge.call import Call
from luthien_stream.edge.failure import LOG_LOST
from luthien_stream.edge.line import microseconds
from luthien_stream.edge.relay import relay
from luthien_stream.edge.routing import Route, Router, hide_keys
from luthien_stream.edge.way import Way, way_to
from luthien_stream.errors import BusError, ClientError, LuthienError, UpstreamError
from luthien_stream.events import log
from luthien_stream.upstream.port import Upstream, UpstreamCut, UpstreamUnreachable

logger = structlog.get_logger()


class Switch(Struct, frozen=True):
    """A provider failed before any content, and another one is to be asked."""

    way: Way
    why: str


class Providers:
    """Where the edge reaches providers."""

    def __init__(
        self, router: Router, bus: Bus, native: Upstream, demo: Upstream, litellm: Upstream | None = None
    ) -> None:
        self._router = router
        self._bus = bus
        self._native = native
        self._demo = demo
        self._litellm = litellm

    def of(self, route: Route) -> Upstream:
        """The way to a provider. Raises `UpstreamUnreachable`."""
        if route.litellm is not None:
            if self._litellm is None:
                raise UpstreamUnreachable("This model is reached over litellm, which this process was not started with")
            return self._litellm
        return self._demo if route.name == DEMO else self._native

    async def read(self, call: Call) -> None:
        """Have the call answered by a provider and hand it the answer, to its end. A task of its own."""
        try:
            terminal = await self._read(call)
        except BusError as error:
            logger.warning("request_not_read", call=call.id, error=type(error).__name__)
            terminal = _failed(call, LOG_LOST.error, "The request could not be read from the log: try again", 503)
        except LuthienError as error:
            kind = str(getattr(error, "error", "upstream_protocol"))
            status = error.status if isinstance(error, ClientError) else 0
            terminal = _failed(call, kind, str(error), status)
        except Exception as error:
            logger.exception("provider_read_failed", call=call.id, error=type(error).__name__)
            terminal = _failed(call, "upstream_protocol", "The provider's answer could not be read", 0)
        call.end_original(terminal)

    async def _read(self, call: Call) -> log.Terminal:
        view, route = await self._request_of(call)
        way, others = way_to(call, view, route), _others(call, view, route)
        while True:
            call.route = way.route
            ended = await self._ask(call, way, others)
            if not isinstance(ended, Switch):
                return ended
            way, name, model = ended.way, ended.way.route.name, ended.way.route.model
            logger.warning("upstream_switched", call=call.id, provider=name, model=model, why=ended.why)
            call.line.put(log.UpstreamSwitched(call=call.id, provider=name, model=model, why=ended.why))

    async def _ask(self, call: Call, way: Way, others: Iterator[Way]) -> log.Terminal | Switch:
        """Ask one provider, again where that may help; return its answer's end, or who is to be asked next and why."""
        provider, name = way.route.provider, way.route.name
        for attempt in itertools.count():
            pause: float | None = None
            try:
                upstream, method = self.of(way.route), call.asked.method
                opened = upstream.open(provider, way.path, way.query, way.headers, way.body, method=method)
                async with opened as answer:
                    if attempt < provider.retries:
                        pause = retry.pause_s(attempt, answer.status, answer.headers, time.time(), random.random())
                        pause = _in_time(call, pause)
                    why = f"{name} answered {answer.status}"
                    if pause is None:
                        following = next(others, None) if retry.helps_elsewhere(answer.status) else None
                        if following is None:
                            return await relay(call, answer, way.conversion)
                        return Switch(following, why)
            except UpstreamError as error:
                if call.head is not None:
                    raise
                if attempt < provider.retries and isinstance(error, UpstreamUnreachable | UpstreamCut):
                    pause = _in_time(call, retry.backoff_s(attempt, random.random()))
                why = f"{name}: {error}"
                if pause is None:
                    following = next(others, None)
                    if following is None:
                        raise
                    return Switch(following, why)
            logger.warning("upstream_retried", call=call.id, provider=name, why=why, in_s=round(pause, 3))
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def released(self, asked: Asked, released: log.RequestReleased | None) -> View:
        """What is asked, as the policies released it; what came as long as they have not. Raises `BusError`."""
        if released is None or not released.changed:
            return asked.view
        stored = await self._bus.get_body(released.body_ref) if released.body_ref else released.body
        return asked.lens.request(asked.vault.unmask(stored))

    async def _request_of(self, call: Call) -> tuple[View, Route]:
        """What is asked, as the policies released it, and where it goes."""
        asked, route = call.asked, call.asked.route
        view = await self.released(asked, call.released)
        if view.model != asked.view.model:
            route = self._router.route(view.model, asked.format)
            hide_keys(asked.vault, route)
        return view, route


def _others(call: Call, view: View, route: Route) -> Iterator[Way]:
    """Those that may stand in, made when they are needed; one that may not or cannot be asked is left out, and said."""
    for other in route.fallbacks:
        try:
            yield way_to(call, view, other)
        except ClientError as error:
            logger.warning("fallback_unusable", call=call.id, provider=other.name, why=str(error))


def _in_time(call: Call, pause: float | None) -> float | None:
    """The pause, None if the call would be over before."""
    return pause if pause is not None and microseconds() + pause * 1e6 < call.deadline else None


def _failed(call: Call, error: str, message: str, status: int) -> log.ResponseFailed:
    return log.ResponseFailed(call=call.id, lane="original", error=error, message=message, status=status)


def start_reading(call: Call, providers: Providers) -> None:
    """Begin the provider's side of a call."""
    call.reader = asyncio.create_task(providers.read(call), name=f"provider {call.id}")
