"""A client that notes what it receives and when, byte for byte."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct, field

PATHS = {
    "anthropic_messages": "/v1/messages",
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
}
HEADERS = {"x-api-key": "sk-client-0123456789", "anthropic-version": "2023-06-01"}


class Received(Struct):
    """What one client got."""

    status: int = 0
    call_id: str = ""
    body: bytes = b""
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    """(monotonic seconds, bytes so far) at each read."""
    broken: str = ""
    """The error if the connection ended unclean."""

    def between(self, start: float, end: float) -> bool:
        """Whether bytes arrived both before `start` and after `end`."""
        return any(at < start for at, _ in self.arrivals) and any(at > end for at, _ in self.arrivals)


def body(model: str, *, stream: bool = True, said: str = "hello", **fields: Any) -> dict[str, Any]:
    """A request that every format takes."""
    turns = [{"role": "user", "content": said}]
    return {
        "model": model,
        "max_tokens": 4096,
        "stream": stream,
        "messages": turns,
        "input": turns,
        **fields,
    }


async def ask(
    session: aiohttp.ClientSession, base: str, format: str, request: dict[str, Any], into: Received | None = None
) -> Received:
    """Send one request and take all that comes."""
    got = into if into is not None else Received()
    headers = {**HEADERS, "authorization": "Bearer sk-client-0123456789", "content-type": "application/json"}
    try:
        async with session.post(base + PATHS[format], data=msgspec.json.encode(request), headers=headers) as answer:
            got.status, got.call_id = answer.status, answer.headers.get("x-luthien-call-id", "")
            async for data in answer.content.iter_any():
                got.body += data
                got.arrivals.append((time.monotonic(), len(got.body)))
    except aiohttp.ClientError as error:
        got.broken = f"{type(error).__name__}: {error}"
    return got


def session() -> aiohttp.ClientSession:
    """A session without connection limit, with a deadline."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=120), auto_decompress=False
    )


async def ask_all(base: str, requests: list[tuple[str, dict[str, Any]]], into: list[Received]) -> None:
    """Ask all at once; `into` fills while they run."""
    into.extend(Received() for _ in requests)
    async with session() as http:
        await asyncio.gather(
            *(ask(http, base, format, one, got) for (format, one), got in zip(requests, into, strict=True))
        )
