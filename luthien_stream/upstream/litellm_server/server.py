"""The HTTP of the litellm server: chat completions and embeddings in OpenAI's shape, on a Unix socket.

One request is one call of litellm's. A client that goes away cancels it at once, a slow one makes it wait, and nothing
but the chunk in hand is kept.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import structlog
from aiohttp import web

from luthien_stream.errors import ClientError
from luthien_stream.formats import LENSES
from luthien_stream.upstream import litellm_wire
from luthien_stream.upstream.litellm_server import shape
from luthien_stream.upstream.litellm_server.library import Chunks, Litellm, LitellmFailed

log = structlog.get_logger()

MAX_BODY = 64 << 20
STOP_S = 10.0
"""How long running answers may take once a stop is asked for."""
PASSED = ("retry-after", "retry-after-ms", "x-should-retry", "x-request-id", "request-id")
"""Headers of a provider that its client is to see, beside all that speak of rate limits."""
LENS = LENSES["openai_chat"]


class LitellmServer:
    """See the module."""

    def __init__(self, litellm: Litellm) -> None:
        self._litellm = litellm
        self._runner: web.AppRunner | None = None

    async def listen(self, path: Path) -> None:
        """Start to listen; only this user may connect. Raises `OSError` where the socket cannot be made."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/embeddings", self._embeddings)
        app.router.add_get("/livez", self._live)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=STOP_S,
            max_field_size=litellm_wire.HEADER_BYTES,
        )
        await self._runner.setup()
        before = os.umask(0o177)
        try:
            await web.UnixSite(self._runner, str(path), backlog=1024).start()
        finally:
            os.umask(before)

    async def close(self) -> None:
        """Take nothing new, let answers end, close."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _live(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        try:
            arguments = await _arguments(request, shape.CHAT_FIELDS)
            came, answer = await self._litellm.chat(arguments)
            if isinstance(answer, Chunks):
                return await _stream(request, answer, _passed(came))
            return _json(shape.body(answer), _passed(came))
        except (ClientError, LitellmFailed) as error:
            return _refused(error)

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        try:
            arguments = await _arguments(request, shape.EMBEDDING_FIELDS)
            encoding = str(arguments.pop("encoding_format", "float"))
            return _json(shape.embeddings(await self._litellm.embed(arguments), encoding))
        except (ClientError, LitellmFailed) as error:
            return _refused(error)


async def _arguments(request: web.Request, known: frozenset[str]) -> dict[str, Any]:
    """What litellm is called with: the client's fields, and the deployment's parameters over them."""
    try:
        fields = shape.checked(msgspec.json.decode(await request.read()), known)
    except msgspec.MsgspecError as error:
        raise ClientError(f"The request body is no JSON: {error}") from error
    parameters = litellm_wire.parameters(request.headers.get(litellm_wire.PARAMETERS, ""))
    defaults = {name: value for name, value in parameters.items() if name in known}
    orders = {name: value for name, value in parameters.items() if name not in known}
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key:
        orders["api_key"] = key
    return {**defaults, **fields, **orders}


async def _stream(request: web.Request, chunks: Chunks, headers: Mapping[str, str]) -> web.StreamResponse:
    """Write the answer as events. What fails before the first one is an HTTP error: the edge may then ask another."""
    async with contextlib.aclosing(chunks):
        stream = aiter(chunks)
        first = await anext(stream, None)
        response = web.StreamResponse(
            headers={**headers, "content-type": "text/event-stream", "cache-control": "no-cache"}
        )
        await response.prepare(request)
        try:
            if first is not None:
                await response.write(_frame(shape.chunk(first)))
            async for chunk in stream:
                await response.write(_frame(shape.chunk(chunk)))
            await response.write(b"data: [DONE]\n\n")
        except LitellmFailed as error:
            log.warning("litellm_failed_in_answer", status=error.status)
            await response.write(b"data: " + LENS.error_body(error.status, str(error)) + b"\n\n")
        except ConnectionError:
            pass  # the edge has gone: there is nobody to tell
        return response


def _frame(chunk: Mapping[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def _json(value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json", headers=headers)


def _passed(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name in PASSED or "ratelimit" in name}


def _refused(error: ClientError | LitellmFailed) -> web.Response:
    """The error in OpenAI's shape, with what the provider said about trying again."""
    headers = _passed(error.headers) if isinstance(error, LitellmFailed) else {}
    body = LENS.error_body(error.status, str(error))
    return web.Response(status=error.status, body=body, content_type="application/json", headers=headers)
