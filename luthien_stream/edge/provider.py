"""The provider's side of a call: its request, sent until one provider answers, and the answer read onto the log."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Iterator, Mapping

import msgspec
import structlog
from msgspec import Struct

from luthien_stream.bus.port import Bus
from luthien_stream.config.model import FormatName
from luthien_stream.config.targets import DEMO
from luthien_stream.core.lens import Request
from luthien_stream.core.sse import Splitter
from luthien_stream.edge import auth, retry
from luthien_stream.edge.call import Call, Head
from luthien_stream.edge.credentials import without_credentials
from luthien_stream.edge.failure import PROVIDER_ERROR
from luthien_stream.edge.line import microseconds
from luthien_stream.edge.refusals import FormatsDiffer
from luthien_stream.edge.routing import Route, Router, hide_keys
from luthien_stream.edge.wire import streamed, to_provider
from luthien_stream.errors import ClientError, LuthienError, UpstreamError
from luthien_stream.events import log
from luthien_stream.events.log import Header
from luthien_stream.upstream import litellm_wire
from luthien_stream.upstream.port import Answer, Upstream, UpstreamCut, UpstreamProtocol, UpstreamUnreachable

logger = structlog.get_logger()

BODY_BYTES = 64 << 20
"""Bytes that an answer that is not streamed may have."""
_ENDS: Mapping[FormatName, tuple[bytes, ...]] = {
    "anthropic_messages": (b'"message_stop"', b"event: error", b'"type":"error"', b'"type": "error"'),
    "openai_chat": (b"[DONE]", b'"finish_reason":"', b'"finish_reason": "', b'"error":', b'"error" :'),
}
"""What the end of a whole stream has in it; without, it was cut, however politely the connection was closed."""
_LAST_FRAMES = 3


class Way(Struct, frozen=True):
    """One provider that a call may be answered by, and the request as that one gets it."""

    route: Route
    path: str
    query: str
    headers: list[Header]
    body: bytes


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
        way, others = _way(call, view, route), _others(call, view, route)
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
                async with self.of(way.route).open(provider, way.path, way.query, way.headers, way.body) as answer:
                    if attempt < provider.retries:
                        pause = retry.pause_s(attempt, answer.status, answer.headers, time.time(), random.random())
                        pause = _in_time(call, pause)
                    why = f"{name} answered {answer.status}"
                    if pause is None:
                        following = next(others, None) if retry.helps_elsewhere(answer.status) else None
                        return await _relay(call, answer) if following is None else Switch(following, why)
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

    async def _request_of(self, call: Call) -> tuple[Request, Route]:
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


def _way(call: Call, view: Request, route: Route) -> Way:
    """The request for one provider: the client's own bytes unless the model has another name there.

    Raises `ClientError` where it may not or cannot be sent there.
    """
    asked = call.asked
    if route.format != asked.format:
        # The one place for a conversion: here the path, headers and body of `route.format` are made from the client's,
        # and `_relay` has the answer made into the client's again.
        raise FormatsDiffer(
            f"The model {view.model!r} is served by {route.name!r}, which speaks "
            f"{' and '.join(route.provider.formats)}, not {asked.format}"
        )
    credential = auth.provider_headers(route.name, route.provider, asked.format, asked.caller)
    if route.model != view.model:
        view = view.set_model(route.model)
    for name, value in route.defaults.items():
        if view.get(name) is None:
            view = view.set(name, value)
    if route.litellm is not None:
        headers = [*litellm_wire.headers(route.litellm), *credential]
    else:
        headers = to_provider(asked.headers, credential, route.provider)
    query = asked.query if route.provider.passthrough else without_credentials(asked.query)
    return Way(route, asked.path, query, headers, view.body)


def _others(call: Call, view: Request, route: Route) -> Iterator[Way]:
    """Those that may stand in, made when they are needed; one that may not or cannot be asked is left out, and said."""
    for other in route.fallbacks:
        try:
            yield _way(call, view, other)
        except ClientError as error:
            logger.warning("fallback_unusable", call=call.id, provider=other.name, why=str(error))


def _in_time(call: Call, pause: float | None) -> float | None:
    """The pause, None if the call would be over before."""
    return pause if pause is not None and microseconds() + pause * 1e6 < call.deadline else None


async def _relay(call: Call, answer: Answer) -> log.Terminal:
    """Give the call the answer that it is to have. From here on nobody else is asked."""
    frames = answer.status < 400 and streamed(answer.headers)
    call.start(Head(answer.status, tuple(answer.headers), frames))
    return await (_read_frames(call, answer) if frames else _read_body(call, answer))


async def _read_frames(call: Call, answer: Answer) -> log.Terminal:
    splitter, last = Splitter(), [b""]
    async for data in answer.chunks():
        frames = splitter.feed(data)
        if frames:
            call.took(frames)
            last = [*last, *frames][-_LAST_FRAMES:]
            await call.room()
    rest = splitter.rest()
    if rest:
        call.took((rest,), "rest")
    ended = b"".join((*last, rest))
    if not any(mark in ended for mark in _ENDS[call.asked.format]):
        raise UpstreamCut("The provider ended its answer in the middle")
    return log.ResponseCompleted(call=call.id, lane="original")


async def _read_body(call: Call, answer: Answer) -> log.Terminal:
    parts, size = [], 0
    async for data in answer.chunks():
        parts.append(data)
        size += len(data)
        if size > BODY_BYTES:
            raise UpstreamProtocol(f"The provider's answer is over {BODY_BYTES >> 20} MB")
    body = b"".join(parts)
    if answer.status < 400 and not _is_json(body):
        raise UpstreamProtocol("The provider's answer is no JSON")
    call.took((body,), "body")
    if answer.status >= 400:
        return log.ResponseFailed(
            call=call.id,
            lane="original",
            error=PROVIDER_ERROR,
            message=f"The provider answered with status {answer.status}",
            status=answer.status,
        )
    return log.ResponseCompleted(call=call.id, lane="original")


def _failed(call: Call, error: str, message: str, status: int) -> log.ResponseFailed:
    return log.ResponseFailed(call=call.id, lane="original", error=error, message=message, status=status)


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except msgspec.MsgspecError:
        return False
    return True


def start_reading(call: Call, providers: Providers) -> None:
    """Begin the provider's side of a call."""
    call.reader = asyncio.create_task(providers.read(call), name=f"provider {call.id}")
