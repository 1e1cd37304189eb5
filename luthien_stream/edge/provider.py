"""The provider's side of a call: its request, sent until one provider answers, and the answer read onto the log."""

from __future__ import annotations

import asyncio
import itertools
import random
import time

import structlog

from luthien_stream.bus.port import Bus
from luthien_stream.config.targets import DEMO
from luthien_stream.edge import retry
from luthien_stream.edge.asked import View
from luthien_stream.edge.call import Call
from luthien_stream.edge.line import microseconds
from luthien_stream.edge.relay import relay
from luthien_stream.edge.routing import Route, Router, hide_keys
from luthien_stream.edge.way import Way, way_to
from luthien_stream.errors import ClientError, LuthienError, UpstreamError
from luthien_stream.events import log
from luthien_stream.upstream.port import Upstream, UpstreamCut, UpstreamUnreachable

logger = structlog.get_logger()


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
        except LuthienError as error:
            kind = str(getattr(error, "error", "upstream_protocol"))
            status = error.status if isinstance(error, ClientError) else 0
            terminal = _failed(call, kind, str(error), status)
        except Exception as error:
            logger.exception("provider_read_failed", call=call.id, error=type(error).__name__)
            terminal = _failed(call, "upstream_protocol", "The provider's answer could not be read", 0)
        call.end_original(terminal)

    async def _read(self, call: Call) -> log.Terminal:
        ways = await self._ways(call)
        for number, way in enumerate(ways):
            call.route = way.route
            ended = await self._ask(call, way, last=number == len(ways) - 1)
            if not isinstance(ended, str):
                return ended
            next_route = ways[number + 1].route
            logger.warning("upstream_switched", call=call.id, provider=next_route.name, why=ended)
            call.line.put(
                log.UpstreamSwitched(call=call.id, provider=next_route.name, model=next_route.model, why=ended)
            )
        raise AssertionError("the last way ends the call")

    async def _ask(self, call: Call, way: Way, *, last: bool) -> log.Terminal | str:
        """Ask one provider, again where that may help; return the answer's end, or why the next one is to be asked."""
        route, upstream = way.route, self.of(way.route)
        for attempt in itertools.count():
            pause: float | None = None
            try:
                opened = upstream.open(
                    route.provider, way.path, way.query, way.headers, way.body, method=call.asked.method
                )
                async with opened as answer:
                    if attempt < route.provider.retries:
                        pause = retry.pause_s(attempt, answer.status, answer.headers, time.time(), random.random())
                    pause = _in_time(call, pause)
                    if pause is None and (last or not retry.helps_elsewhere(answer.status)):
                        return await relay(call, answer, way.conversion)
                    why = f"{route.name} answered {answer.status}"
            except UpstreamError as error:
                if call.head is not None:
                    raise
                if attempt < route.provider.retries and isinstance(error, UpstreamUnreachable | UpstreamCut):
                    pause = _in_time(call, retry.backoff_s(attempt, random.random()))
                if pause is None and last:
                    raise
                why = f"{route.name}: {error}"
            if pause is None:
                return why
            logger.warning("upstream_retried", call=call.id, provider=route.name, why=why, in_s=round(pause, 3))
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def _ways(self, call: Call) -> list[Way]:
        """The request for each provider that may answer it. Raises what keeps the first of them from being asked."""
        view, route = await self._request_of(call)
        ways = [way_to(call, view, route)]
        for other in route.fallbacks:
            try:
                ways.append(way_to(call, view, other))
            except ClientError as error:
                logger.warning("fallback_unusable", call=call.id, provider=other.name, why=str(error))
        return ways

    async def _request_of(self, call: Call) -> tuple[View, Route]:
        """What is asked, as the policies released it, and where it goes."""
        asked, route, released = call.asked, call.asked.route, call.released
        if released is None or not released.changed:
            return asked.view, route
        stored = await self._bus.get_body(released.body_ref) if released.body_ref else released.body
        view = asked.lens.request(asked.vault.unmask(stored))
        if view.model != asked.view.model:
            route = self._router.route(view.model, asked.format)
            hide_keys(asked.vault, route)
        return view, route


def _in_time(call: Call, pause: float | None) -> float | None:
    """The pause, None if the call would be over before."""
    return pause if pause is not None and microseconds() + pause * 1e6 < call.deadline else None


def _failed(call: Call, error: str, message: str, status: int) -> log.ResponseFailed:
    return log.ResponseFailed(call=call.id, lane="original", error=error, message=message, status=status)


def start_reading(call: Call, providers: Providers) -> None:
    """Begin the provider's side of a call."""
    call.reader = asyncio.create_task(providers.read(call), name=f"provider {call.id}")
