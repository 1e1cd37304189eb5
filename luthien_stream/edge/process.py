"""One edge process: from the configuration to a listener, and back in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from luthien_stream.bus import connect
from luthien_stream.bus.port import Bus
from luthien_stream.config.instance import Instance, upstream_socket
from luthien_stream.config.model import Config, split_address
from luthien_stream.edge.admin import AdminServer, admin_token
from luthien_stream.edge.edge import Edge
from luthien_stream.edge.models import Models
from luthien_stream.edge.server import Server
from luthien_stream.formats import LENSES
from luthien_stream.policy.catalogue import load_stages
from luthien_stream.upstream.client import NativeClient
from luthien_stream.upstream.demo import DemoUpstream

log = structlog.get_logger()

DRAIN_S = 20.0
"""How long running calls may take once a stop is asked for."""


async def serve(
    config: Config,
    instance: Instance,
    *,
    index: int,
    data: Path,
    bus: Bus | None = None,
    ready: Callable[[], None] | None = None,
    stop: asyncio.Event,
) -> None:
    """Run an edge until `stop` is set and its calls have ended. Several share one address; the first has the admin's.

    Raises `ConfigError`, and `OSError` where an address cannot be had.
    """
    folder = Path(instance.config).parent / "workers" if instance.config else None
    stages = load_stages(config.pipeline, folder)
    shared = bus if bus is not None else connect(instance.redis)
    litellm = NativeClient(upstream_socket(data))
    edge = Edge(config, shared, stages, LENSES, NativeClient(), DemoUpstream(), litellm)
    server = Server(edge, Models(config.auth, edge.router, edge.providers))
    admin = AdminServer(edge, admin_token(data)) if index == 0 else None
    try:
        await edge.start()
        if admin is not None:
            await admin.listen(*split_address(instance.admin))
        port = await server.listen(*split_address(instance.listen), reuse_port=bus is None)
        log.info("edge_started", edge=edge.id, port=port, index=index)
        if ready is not None:
            ready()
        await stop.wait()
        log.info("edge_stopping", edge=edge.id, calls=len(edge.calls))
    finally:
        await server.stop_listening()
        await edge.stop(DRAIN_S)
        await server.close()
        if admin is not None:
            await admin.close()
        if bus is None:
            await shared.close()
    log.info("edge_stopped", edge=edge.id)
