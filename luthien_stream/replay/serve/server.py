"""The HTTP server of recordings: on the paths of the vendors, with any credential, never asking anybody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from luthien_stream.formats import LENSES
from luthien_stream.record.made import PATHS
from luthien_stream.replay.serve.book import Answer, Book, Miss

BODY_BYTES = 64 << 20
WRITE_S = 60.0
"""How long a client may take for one frame."""


class RecordingServer:
    """Serves a book; `factor` 0 at once, 1 at the recorded pace, 2 twice as fast. `told` gets a line a request."""

    def __init__(self, book: Book, factor: float = 0.0, told: Callable[[str], None] = lambda line: None) -> None:
        self._book, self._factor, self._told = book, factor, told
        self._runner: web.AppRunner | None = None

    async def listen(self, host: str, port: int) -> int:
        """Start to listen; return the port. Raises `OSError`."""
        app = web.Application(client_max_size=BODY_BYTES)
        for format, path in PATHS.items():
            app.router.add_post(path, self._handler(format))
        app.router.add_post("/v1/messages/count_tokens", self._count)
        app.router.add_get("/v1/models", self._models)
        app.router.add_route("*", "/{rest:.*}", self._other)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Close all connections."""
        if self._runner is not None:
            await self._runner.cleanup()

    def _handler(self, format: str) -> Callable[[web.Request], asyncio.Future[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            try:
                answer = self._book.find(format, body)
            except Miss as error:
                self._told(f"404  {request.path}  {error}")
                return web.Response(
                    status=404, body=LENSES[format].error_body(404, str(error)), content_type="application/json"
                )
            self._told(f"{answer.status}  {request.path}  {answer.call_id}")
            return await self._serve(request, answer)

        return handle  # type: ignore[return-value]

    async def _serve(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers={"content-type": answer.content_type})
        response.headers["x-luthien-recording"] = answer.call_id
        if answer.streamed:
            response.enable_chunked_encoding()
        else:
            response.content_length = sum(map(len, answer.frames))
        await response.prepare(request)
        for frame, pause in zip(answer.frames, answer.pauses, strict=True):
            if self._factor:
                await asyncio.sleep(pause / self._factor)
            async with asyncio.timeout(WRITE_S):
                await response.write(frame)
        if answer.broken and request.transport is not None:
            request.transport.close()  # as the provider did
            return response
        await response.write_eof()
        return response

    async def _count(self, request: web.Request) -> web.Response:
        """Counts are not recorded: an estimate, which says so."""
        size = len(await request.read())
        made = {"input_tokens": -(-size // 4)}
        return web.json_response(made, headers={"x-luthien-estimated": "true"})

    async def _models(self, request: web.Request) -> web.Response:
        named = {str((answer.asked or {}).get("model", "")) for answer in self._book.answers} - {""}
        models = [{"id": name, "object": "model", "type": "model", "display_name": name} for name in sorted(named)]
        return web.json_response({"object": "list", "data": models})

    async def _other(self, request: web.Request) -> web.Response:
        message = f"{request.method} {request.path} is not served: recordings answer {', '.join(PATHS.values())}"
        self._told(f"404  {request.path}")
        return web.json_response({"error": {"type": "not_found_error", "message": message}}, status=404)
