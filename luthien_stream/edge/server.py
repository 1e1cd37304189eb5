"""The public listener: which path goes where, and a refusal in the client's dialect for every other one."""

from __future__ import annotations

import msgspec
import structlog
from aiohttp import web

from luthien_stream.config.model import FormatName
from luthien_stream.edge import dialect, wire
from luthien_stream.edge.edge import Edge
from luthien_stream.edge.ids import new_call
from luthien_stream.edge.ingress import MAX_BODY
from luthien_stream.edge.models import Models
from luthien_stream.edge.refusals import NotNow, UpgradeRefused
from luthien_stream.edge.setup_page import SetupPage
from luthien_stream.errors import BusError, LuthienError

log = structlog.get_logger()

STOP_S = 1.0
"""How long connections may take to close once all calls have ended."""


class Server:
    """The HTTP of one edge."""

    def __init__(self, edge: Edge, models: Models) -> None:
        self._edge = edge
        self._models = models
        self._setup = SetupPage(edge.auth.mode)
        self._runner: web.AppRunner | None = None

    async def listen(self, host: str, port: int, *, reuse_port: bool = False) -> int:
        """Start to listen; return the port. Raises `OSError` where the address cannot be had."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_post("/v1/responses", self._responses)
        app.router.add_get("/v1/responses/{id}", self._stored, allow_head=False)
        app.router.add_delete("/v1/responses/{id}", self._stored)
        app.router.add_get("/v1/models", self._list_models, allow_head=False)
        app.router.add_get("/v1/models/{id:.+}", self._show_model, allow_head=False)
        app.router.add_get("/v1/calls/{id}/stream", self._resume, allow_head=False)
        app.router.add_get("/", self._hello)
        app.router.add_get("/api/hello", self._hello)
        app.router.add_get("/setup", self._setup.all)
        app.router.add_get("/setup/{client}", self._setup.one)
        app.router.add_options("/{path:.*}", self._options)
        app.router.add_get("/health", self._health)
        app.router.add_get("/livez", self._live)
        app.router.add_get("/readyz", self._ready)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=STOP_S, auto_decompress=False
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, reuse_port=reuse_port or None, backlog=1024)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop_listening(self) -> None:
        """Take no new connection; those that are open go on."""
        if self._runner is not None:
            for site in list(self._runner.sites):
                await site.stop()

    async def close(self) -> None:
        """Close all connections."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._edge.answer(request, "openai_chat")

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        return await self._edge.answer(request, "anthropic_messages")

    async def _resume(self, request: web.Request) -> web.StreamResponse:
        format = wire.format_of(request.path, _names(request))
        try:
            credentials = self._edge.ingress.credentials(request)
            return await self._edge.returning.resume(request, request.match_info["id"], credentials)
        except LuthienError as error:
            return self._refused(format, error)

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        return await self._edge.answer(request, "openai_responses")

    async def _stored(self, request: web.Request) -> web.StreamResponse:
        try:
            kept = await self._edge.stored.answer(request, self._edge.ingress.credentials(request))
        except LuthienError as error:
            return self._refused("openai_responses", error)
        return _named(kept) if kept is not None else await self._pass_on(request)

    async def _list_models(self, request: web.Request) -> web.StreamResponse:
        format = wire.format_of(request.path, _names(request))
        try:
            return _named(await self._models.all(request, format))
        except LuthienError as error:
            return self._refused(format, error)

    async def _show_model(self, request: web.Request) -> web.StreamResponse:
        format = wire.format_of(request.path, _names(request))
        try:
            return _named(await self._models.one(request, format, request.match_info["id"]))
        except LuthienError as error:
            return self._refused(format, error)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        format = wire.format_of(request.path, _names(request))
        if request.headers.get("upgrade"):
            return self._refused(format, UpgradeRefused())
        return await self._edge.pass_on(request, format)

    async def _options(self, request: web.Request) -> web.Response:
        return _named(web.Response(status=204, headers={"Allow": "GET, HEAD, POST, DELETE, OPTIONS"}))

    async def _hello(self, request: web.Request) -> web.Response:
        return _named(web.json_response({"service": "luthien-stream"}))

    async def _live(self, request: web.Request) -> web.Response:
        return _named(web.json_response({"status": "alive"}))

    async def _ready(self, request: web.Request) -> web.Response:
        reason = self._edge.admission.not_ready
        return _status(reason, 503 if reason else 200)

    async def _health(self, request: web.Request) -> web.Response:
        return _status(self._edge.admission.not_ready, 200)

    def _refused(self, format: FormatName, error: LuthienError) -> web.Response:
        call = new_call()
        if isinstance(error, BusError):
            log.warning("log_does_not_answer", call=call, error=type(error).__name__)
            error = NotNow("The log (Redis) cannot be read: try again")  # what it said is nobody's outside
        log.info("request_refused", call=call, error=str(getattr(error, "error", "")))
        return dialect.refused(self._edge.lenses[format], error, call)


def _status(reason: str, status: int) -> web.Response:
    body = {"status": "not ready", "reason": reason} if reason else {"status": "ready"}
    return _named(web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json"))


def _named(response: web.Response) -> web.Response:
    """With an id like every answer's, for whoever asks about it."""
    response.headers.setdefault(wire.CALL_HEADER, new_call())
    return response


def _names(request: web.Request) -> set[str]:
    return {name.lower() for name in request.headers}
