"""The provider's side of a call: one request, and its answer read to the end, frame by frame, onto the log."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
import structlog

from luthien_stream.bus.port import Bus
from luthien_stream.config.model import FormatName
from luthien_stream.core.sse import Splitter
from luthien_stream.edge.call import Call, Head
from luthien_stream.edge.credentials import without_credentials
from luthien_stream.edge.failure import PROVIDER_ERROR
from luthien_stream.edge.routing import DEMO, Route, Router
from luthien_stream.edge.wire import streamed, to_provider
from luthien_stream.errors import LuthienError, UpstreamError
from luthien_stream.events import log
from luthien_stream.upstream.port import Answer, Upstream, UpstreamCut, UpstreamProtocol

logger = structlog.get_logger()

BODY_BYTES = 64 << 20
"""Bytes that an answer that is not streamed may have."""
_ENDS: Mapping[FormatName, tuple[bytes, ...]] = {
    "anthropic_messages": (b'"message_stop"', b"event: error", b'"type":"error"', b'"type": "error"'),
    "openai_chat": (b"[DONE]", b'"finish_reason":"', b'"finish_reason": "', b'"error":', b'"error" :'),
    "openai_responses": (
        b'"response.completed"',
        b'"response.incomplete"',
        b'"response.failed"',
        b"event: error",
        b'"type":"error"',
        b'"type": "error"',
        b'"error":{',
        b'"error": {',
    ),
}
"""What the end of a whole stream has in it; without, it was cut, however politely the connection was closed."""
_LAST_FRAMES = 3


class Providers:
    """Where the edge reaches providers."""

    def __init__(self, router: Router, bus: Bus, native: Upstream, demo: Upstream) -> None:
        self._router = router
        self._bus = bus
        self._native = native
        self._demo = demo

    def of(self, name: str) -> Upstream:
        """The way to a provider."""
        return self._demo if name == DEMO else self._native

    async def read(self, call: Call) -> None:
        """Call the provider once and hand its answer to the call, to its end. A task of its own."""
        try:
            terminal = await self._read(call)
        except LuthienError as error:
            kind = str(getattr(error, "error", "upstream_protocol"))
            terminal = _failed(call, kind, str(error))
        except Exception as error:
            logger.exception("provider_read_failed", call=call.id, error=type(error).__name__)
            terminal = _failed(call, "upstream_protocol", "The provider's answer could not be read")
        call.end_original(terminal)

    async def _read(self, call: Call) -> log.Terminal:
        asked = call.asked
        body, route = await self._request_of(call)
        own = route.provider.passthrough
        query = asked.query if own else without_credentials(asked.query)
        headers = to_provider(asked.headers, asked.credential, route.provider)
        async with self.of(route.name).open(route.provider, asked.path, query, headers, body) as answer:
            frames = answer.status < 400 and streamed(answer.headers)
            call.start(Head(answer.status, tuple(answer.headers), frames))
            if frames:
                return await _read_frames(call, answer)
            return await _read_body(call, answer)

    async def _request_of(self, call: Call) -> tuple[bytes, Route]:
        """The bytes for the provider: the client's own unless a policy changed them or the model has another name."""
        asked, route, body, released = call.asked, call.asked.route, call.asked.view.body, call.released
        model = asked.view.model
        if released is not None and released.changed:
            stored = await self._bus.get_body(released.body_ref) if released.body_ref else released.body
            body = asked.vault.unmask(stored)
            if released.model and released.model != model:
                model = released.model
                route = self._reroute(call, model)
        if route.model != model:
            body = asked.lens.request(body).set_model(route.model).body
        return body, route

    def _reroute(self, call: Call, model: str) -> Route:
        route = self._router.route(model, call.asked.format)
        if route.name != call.asked.route.name:
            raise UpstreamError(f"A policy chose the model {model!r} of another provider: this release cannot switch")
        return route


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


def _failed(call: Call, error: str, message: str) -> log.ResponseFailed:
    return log.ResponseFailed(call=call.id, lane="original", error=error, message=message)


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except msgspec.MsgspecError:
        return False
    return True


def start_reading(call: Call, providers: Providers) -> None:
    """Begin the provider's side of a call."""
    call.reader = asyncio.create_task(providers.read(call), name=f"provider {call.id}")
