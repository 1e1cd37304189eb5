"""The loads, and what is measured of one system under one load."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Sequence
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, field

from luthien_stream.testing import scenarios
from luthien_stream.testing.scenarios import STAMP, Wish
from tests.bench.wire import Broken, Connection, Reply

PATH = "/v1/chat/completions"
FORM = "openai_chat"
SAID = "Tell me something"
_STAMP = re.compile(rb"T(\d{19})")


class Load(Struct, frozen=True):
    """`streams` connections ask for `model` again and again for `seconds`, or `times` times each.

    They begin spread over `spread_s`: people do not press return in the same millisecond.
    """

    name: str
    model: str
    streams: int
    seconds: float = 0.0
    times: int = 0
    streamed: bool = True
    spread_s: float = 0.0


class Sample(Struct):
    """What one load on one system gave. Times in nanoseconds."""

    seconds: float = 0.0
    requests: int = 0
    chunks: int = 0
    first: list[int] = field(default_factory=list)
    """From the request to the first byte of the answer's body."""
    late: list[int] = field(default_factory=list)
    """From the provider's stamp in a piece of text to its arrival here."""
    errors: list[str] = field(default_factory=list)
    exact: int = 0
    """Answers that are byte for byte what the provider sends."""


async def run(url: str, load: Load, model_prefix: str = "") -> Sample:
    """Put a load on the system at `url`."""
    sample = Sample()
    request = request_of(load, urlsplit(url).netloc, model_prefix)
    begun = time.monotonic()
    done = await asyncio.gather(*(_stream(url, request, load, number, sample) for number in range(load.streams)))
    sample.seconds = time.monotonic() - begun
    _take(sample, load, [reply for one in done for reply in one])
    return sample


@contextlib.asynccontextmanager
async def beside(url: str, model: str) -> AsyncIterator[None]:
    """Keep four streams of `model` going meanwhile; none if it is empty."""
    other = Load("beside", model, streams=4, seconds=3600, spread_s=0.5)
    task = asyncio.create_task(run(url, other)) if model else None
    try:
        yield
    finally:
        if task is not None:
            assert not task.done(), "the traffic beside ended"
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def request_of(load: Load, host: str, model_prefix: str = "") -> bytes:
    """The bytes of the request, ready to send."""
    model = model_prefix + load.model
    messages = [{"role": "user", "content": SAID}]
    body = msgspec.json.encode({"model": model, "messages": messages, "stream": load.streamed})
    head = f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer sk-bench\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _stream(url: str, request: bytes, load: Load, number: int, sample: Sample) -> list[Reply]:
    address = urlsplit(url)
    replies: list[Reply] = []
    await asyncio.sleep(load.spread_s * number / load.streams)
    begun = time.monotonic()
    async with Connection(address.hostname or "", address.port or 0) as connection:
        while len(replies) < load.times or time.monotonic() - begun < load.seconds:
            try:
                replies.append(await connection.ask(request, deadline_s=60))
            except (Broken, TimeoutError, OSError) as error:
                sample.errors.append(f"{type(error).__name__}: {error}")
                break
    return replies


def _take(sample: Sample, load: Load, replies: Sequence[Reply]) -> None:
    """Count and compare, after the measurement. Equal bodies are compared once."""
    wish = Wish(SAID, usage=False)
    if load.streamed:
        expected = b"".join(scenarios.stream(FORM, load.model, wish))
    else:
        expected = scenarios.body(FORM, load.model, wish)
    for reply in replies:
        sample.requests += 1
        body = bytearray()
        for at, piece in reply.payload():
            if not body:
                sample.first.append(at - reply.sent_at)
            body += piece
            sample.late += [at - int(stamp) for stamp in _STAMP.findall(body, max(0, len(body) - len(piece) - 19))]
        sample.chunks += body.count(b"data:") if load.streamed else 1
        if reply.status != 200:
            sample.errors.append(f"status {reply.status}: {bytes(body[:200])!r}")
        elif _STAMP.sub(STAMP, bytes(body)) == expected:
            sample.exact += 1
