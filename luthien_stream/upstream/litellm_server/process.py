"""The process of `luthien-stream upstream`: litellm loaded, its socket open, and back in order."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import structlog

from luthien_stream.config.instance import Instance, make_private, upstream_socket
from luthien_stream.config.model import Config
from luthien_stream.errors import ConfigError
from luthien_stream.upstream.litellm_server.library import load
from luthien_stream.upstream.litellm_server.server import LitellmServer

log = structlog.get_logger()

NICE = 10
"""How far it stands back where processors are scarce: a chunk costs litellm several times what it costs the edge."""


async def serve(
    config: Config, instance: Instance, *, data: Path, ready: Callable[[], None], stop: asyncio.Event
) -> None:
    """Serve until `stop` is set. Raises `ConfigError`, and `OSError` where the socket cannot be made."""
    os.nice(NICE)
    path = upstream_socket(data)
    make_private(path.parent)
    await _take_over(path)
    litellm = load({name: str(value) for name, value in config.environment_variables.items()})
    server = LitellmServer(litellm)
    await server.listen(path)
    log.info("upstream_started", socket=str(path), memory_mb=memory_mb())
    try:
        ready()
        await stop.wait()
    finally:
        await server.close()
        _remove(path)
    log.info("upstream_stopped", memory_mb=memory_mb())


async def _take_over(path: Path) -> None:
    """Remove the socket of a server that is gone. Raises `ConfigError` if one still serves."""
    try:
        async with asyncio.timeout(5):
            _, writer = await asyncio.open_unix_connection(path)
    except (OSError, TimeoutError):
        _remove(path)
        return
    writer.close()
    raise ConfigError(f"A litellm server runs at {path} already: stop it first")


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def memory_mb() -> int:
    """The most memory this process has had, in megabytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 1_000_000
