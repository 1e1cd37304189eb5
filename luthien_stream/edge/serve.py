"""The client's side of a call: waits for what the call has for its client, and gives it in HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from luthien_stream.core.lens import Request
from luthien_stream.edge import dialect, wire
from luthien_stream.edge.call import Call
from luthien_stream.edge.failure import PROVIDER_ERROR, Failure
from luthien_stream.edge.plain import PlainRequest
from luthien_stream.edge.provider import Providers, start_reading
from luthien_stream.edge.stored import StoredResponses

GONE = "client_disconnected"
JSON = "application/json"
READER_S = 1.0
"""How long a cancelled provider connection may take to close."""


async def serve(call: Call, providers: Providers, stored: StoredResponses) -> web.StreamResponse:
    """Drive a call to its end. The server cancels this when the client's connection is lost."""
    try:
        await _drive(call, providers)
        await stored.keep(call)
        return await _answer(call)
    except (asyncio.CancelledError, ConnectionError):
        if call.stays:
            call.detach()
        else:
            call.leave(GONE)
        raise
    except TimeoutError:
        call.left = "timeout"
        call.delivery.abort()
        raise
    finally:
        if not call.gone:
            await _close(call)


async def outlive(call: Call, providers: Providers, stored: StoredResponses) -> None:
    """Drive a call whose client has gone to its end."""
    try:
        while not call.over:
            _read_if_cleared(call, providers)
            await call.wake.wait()
            call.wake.clear()
        await stored.keep(call)
    finally:
        await _close(call)


async def _close(call: Call) -> None:
    if call.reader is not None:
        call.cancel_original("edge_failed")
    call.delivery.withdraw()
    call.close()
    await _stop_reading(call)


def _read_if_cleared(call: Call, providers: Providers) -> None:
    if call.cleared and call.reader is None and not call.over:
        start_reading(call, providers)


async def _drive(call: Call, providers: Providers) -> None:
    while True:
        _read_if_cleared(call, providers)
        if not call.delivery.begun:
            await _begin_if_due(call)
        if call.over:
            return
        await call.wake.wait()
        call.wake.clear()


async def _begin_if_due(call: Call) -> None:
    if call.frames and not call.whole:
        await _make_ready(call)
        call.flush()
    elif call.commit_early and not call.over:
        await _make_ready(call)
        call.inject(call.asked.lens.keepalive(), "keepalive")
    elif call.head is not None and call.head.streamed:
        await _make_ready(call)


async def _make_ready(call: Call) -> None:
    if not call.delivery.ready:
        streamed = call.head is not None and call.head.streamed
        status = call.head.status if streamed and call.head is not None else 200
        headers = _headers(call)
        if not streamed:
            headers["Content-Type"] = wire.EVENT_STREAM
        await call.delivery.make_ready(status, headers)


async def _answer(call: Call) -> web.StreamResponse:
    why = call.failure
    if why is None:
        return await _whole(call) if call.whole and not call.delivery.begun else await _end(call)
    if why.error == PROVIDER_ERROR and call.whole and not call.delivery.begun:
        return await _whole(call)
    if why.error == PROVIDER_ERROR and not call.whole and call.closing:
        return await _end(call)  # the provider's own error in the stream was its last word, and is the client's
    if call.farewell is not None:
        return await _stop(call, call.farewell, why)
    if call.delivery.begun or (call.frames and not call.whole):
        return await _break(call, why)
    return await call.delivery.whole(dialect.failed(call.asked.lens, why, call.id))


async def _end(call: Call) -> web.StreamResponse:
    if call.whole:
        return await _break(call, Failure("unexpected_body", "The provider answered without streaming", 502))
    await _make_ready(call)
    call.flush()
    return await call.delivery.end()


async def _whole(call: Call) -> web.StreamResponse:
    headers = _headers(call)
    headers.setdefault("Content-Type", "application/json")
    status = call.head.status if call.head is not None else 200
    body = b"".join(call.take_frames())
    return await call.delivery.whole(web.Response(status=status, headers=headers, body=body))


async def _break(call: Call, why: Failure) -> web.StreamResponse:
    await _make_ready(call)
    if call.whole:
        why = _of_body(call, why)
    else:
        call.flush()
    frame = call.asked.lens.error_frame(why.status, why.message, code=why.error, call=call.id)
    call.inject(frame, why.error)
    return call.delivery.break_off()


async def _stop(call: Call, farewell: Callable[[], Awaitable[list[bytes]]], why: Failure) -> web.StreamResponse:
    """A person has ended the call: a whole turn that says so, or a good end of the one that has begun."""
    view, lens = call.asked.view, call.asked.lens
    if not call.delivery.begun and (call.whole or not call.frames) and not isinstance(view, PlainRequest):
        turn = lens.refusal(cast("Request", view), why.message, call.id)
        if not view.streamed:
            body = b"".join(turn)
            headers = _headers(call)
            headers["Content-Type"] = JSON
            return await call.delivery.whole(web.Response(headers=headers, body=body))
        await _make_ready(call)
        call.inject(b"".join(turn), why.error)
        return await call.delivery.end()
    call.flush()
    frames = [] if call.whole else await farewell()
    if not frames:
        return await _break(call, why)
    await _make_ready(call)
    call.flush()
    call.inject(b"".join(frames), why.error)
    return await call.delivery.end()


def _of_body(call: Call, why: Failure) -> Failure:
    """The provider's own words, where its error came after the stream had begun."""
    try:
        parsed = msgspec.json.decode(b"".join(call.take_frames()))
        message = str(parsed["error"]["message"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        message = why.message
    return Failure(why.error, message, call.head.status if call.head and call.head.status >= 400 else why.status)


def _headers(call: Call) -> CIMultiDict[str]:
    came = call.head.headers if call.head is not None else ()
    return wire.to_client(came, call.id, call.asked.format, cookies=call.route.provider.passthrough)


async def _stop_reading(call: Call) -> None:
    if call.reader is not None and not call.reader.done():
        call.reader.cancel()
        await asyncio.wait({call.reader}, timeout=READER_S)
