"""How a provider's answer can end badly, after some of it has been sent."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from aiohttp import web

from luthien_stream.testing import dialect

Ended = Literal["complete", "broken"]
Break = Callable[[web.Request, web.StreamResponse, str], Awaitable[Ended]]


async def reset(request: web.Request, response: web.StreamResponse, form: str) -> Ended:
    """Break the connection with RST: what is unsent is lost."""
    if request.transport is not None:
        sock = request.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return "broken"


async def close(request: web.Request, response: web.StreamResponse, form: str) -> Ended:
    """Close the connection in the middle of the body."""
    if request.transport is not None:
        request.transport.close()
    return "broken"


async def cut(request: web.Request, response: web.StreamResponse, form: str) -> Ended:
    """End the body as HTTP wants it, without the answer's own end."""
    return "complete"


async def stall(request: web.Request, response: web.StreamResponse, form: str) -> Ended:
    """Say nothing more and keep the connection for a day."""
    await asyncio.sleep(86_400)
    return "broken"


async def error_frame(request: web.Request, response: web.StreamResponse, form: str) -> Ended:
    """End with an error in the stream."""
    await response.write(dialect.error_frame(form, 529, "Overloaded"))
    return "complete"


STREAMED: Mapping[str, Break] = {
    "reset": reset,
    "break": close,
    "cut": cut,
    "stall": stall,
    "error-frame": error_frame,
}
UNSTREAMED: Mapping[str, Break] = {"reset": reset, "break": close, "cut": close, "stall": stall}
"""In the middle of a body of known length, where a clean early end cannot be."""
