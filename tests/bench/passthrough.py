"""The yardstick: a proxy that does nothing but hand bytes on (aiohttp, uvloop, no parsing).

As a process: `python -m tests.bench.passthrough http://127.0.0.1:9000`; its first line is its URL.
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import uvloop
from aiohttp import web


async def serve(upstream: str) -> None:
    """Forward every POST to `upstream`, until ended."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False) as session:

        async def forward(request: web.Request) -> web.StreamResponse:
            headers = {"content-type": "application/json", "authorization": request.headers.get("authorization", "")}
            body = await request.read()
            async with session.post(upstream + request.path_qs, data=body, headers=headers) as answer:
                response = web.StreamResponse(status=answer.status)
                response.headers["content-type"] = answer.headers["content-type"]
                await response.prepare(request)
                while data := await answer.content.readany():
                    await response.write(data)
                return response

        app = web.Application()
        app.router.add_post("/{path:.*}", forward)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)  # noqa: T201 (the caller reads it)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
