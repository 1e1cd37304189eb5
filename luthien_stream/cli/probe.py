"""Whether a gateway is ready to take calls, asked as any client would."""

from __future__ import annotations

import asyncio

from luthien_stream.config.model import split_address


async def why_not_ready(listen: str, *, deadline_s: float = 5.0) -> str:
    """Ask `/readyz` of the edge that listens there: empty if it is ready, else why not."""
    host, port = split_address(listen)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    try:
        async with asyncio.timeout(deadline_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            finally:
                writer.close()
    except TimeoutError:
        return f"no answer within {deadline_s:g} s"
    except OSError as error:
        return f"no answer ({error.strerror or type(error).__name__})"
    return (
        "" if b" 200 " in head.split(b"\r\n")[0] else body.decode(errors="replace").strip()[:200] or "no reason given"
    )
