"""Judges and other models asked now, for a replay: through the running gateway, so with its keys, and on record."""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Mapping

import aiohttp

from luthien_stream.cli.common import find_instance
from luthien_stream.core.sse import Splitter
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ResponseCompleted,
    ResponseFailed,
    ResponseStarted,
    SampleRequested,
)
from luthien_stream.record.made import PATHS
from luthien_stream.replay.asking import Ask
from luthien_stream.replay.pool import Result

DEADLINE_S = 600.0
_KEYS = {
    "anthropic_messages": "ANTHROPIC_API_KEY",
    "openai_chat": "OPENAI_API_KEY",
    "openai_responses": "OPENAI_API_KEY",
}


def asker(args: argparse.Namespace) -> Ask:
    """Return what asks a model at the instance that the flags name. Raises `ConfigError` where none runs."""
    url = f"http://{find_instance(args).listen}"

    def ask(requested: SampleRequested) -> Result | None:
        if not requested.body or requested.format not in PATHS:
            return None
        return asyncio.run(_ask(url, requested))

    return ask


async def _ask(url: str, requested: SampleRequested) -> Result:
    began = _now()
    inputs: list[AnyEvent] = []
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_S, sock_read=120)) as http,
            http.post(url + PATHS[requested.format], data=requested.body, headers=_headers(requested.format)) as answer,
        ):
            streamed = answer.content_type == "text/event-stream"
            _put(inputs, ResponseStarted(call=requested.call, status=answer.status, streamed=streamed))
            if streamed:
                splitter = Splitter()
                async for data in answer.content.iter_any():
                    for frame in splitter.feed(data):
                        _put(inputs, ChunkReceived(call=requested.call, frame=frame))
            else:
                _put(inputs, ChunkReceived(call=requested.call, frame=await answer.read(), kind="body"))
        _put(inputs, ResponseCompleted(call=requested.call, lane="original"))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        message = f"The gateway at {url} could not be asked: {type(error).__name__}"
        _put(inputs, ResponseFailed(call=requested.call, lane="original", error="unreachable", message=message))
    return Result(_now() - began, None, inputs, began)


def _put(inputs: list[AnyEvent], event: AnyEvent) -> None:
    event.n, event.time = len(inputs), _now()  # type: ignore[misc]
    inputs.append(event)


def _headers(format: str) -> Mapping[str, str]:
    headers = {"content-type": "application/json"}
    key = os.environ.get(_KEYS.get(format, "OPENAI_API_KEY"), "")
    if format == "anthropic_messages":
        headers["anthropic-version"] = "2023-06-01"
        return {**headers, "x-api-key": key} if key else headers
    return {**headers, "authorization": f"Bearer {key}"} if key else headers


def _now() -> int:
    return time.time_ns() // 1000
