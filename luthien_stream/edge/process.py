"""One edge process: from the configuration to a listener, and back in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from luthien_stream.bus import connect
from luthien_stream.bus.port import Bus
from luthien_stream.config.instance import Instance, config_of, upstream_socket
from luthien_stream.config.model import Config, split_address
from luthien_stream.edge.admin import AdminServer, admin_token
from luthien_stream.edge.edge import Edge
from luthien_stream.edge.following import Following
from luthien_stream.edge.models import Models
from luthien_stream.edge.server import Server
from luthien_stream.edge.tailing import Tailing
from luthien_stream.formats import LENSES
from luthien_stream.policy.in_force import InForce
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
    again: asyncio.Event | None = None,
) -> None:
    """Run an edge until `stop` is set and its calls have ended. Several share one address; the first has the admin's.

    `again` is set when the configuration's pipeline is to be read and published again. Raises `ConfigError`, and
    `OSError` where an address cannot be had.
    """
    shared = bus if bus is not None else connect(instance.redis)
    in_force = InForce.over(shared, config_of(instance))
    stages = await in_force.begin(config)
    litellm = NativeClient(upstream_socket(data))
    edge = Edge(config, shared, stages, LENSES, NativeClient(), DemoUpstream(), litellm, in_force.version.pipeline)
    server = Server(edge, Models(config.auth, edge.router, edge.providers))
    following = Following(edge, in_force, again or asyncio.Event())
    admin = AdminServer(edge, following, Tailing(shared), admin_token(data)) if index == 0 else None
    task: asyncio.Task[None] | None = None
    try:
        await edge.start()
        task = asyncio.create_task(following.run(), name="pipeline")
        if admin is not None:
            await admin.listen(*split_address(instance.admin))
        port = await server.listen(*split_address(instance.listen), reuse_port=bus is None)
        log.info("edge_started", edge=edge.id, port=port, index=index)
        if ready is not None:
            ready()
        await stop.wait()
        log.info("edge_stopping", edge=edge.id, calls=len(edge.calls))
    finally:
        if task is not None:
            task.cancel()
        await server.stop_listening()
        await edge.stop(DRAIN_S)
        await server.close()
        if admin is not None:
            await admin.close()
        if bus is None:
            await shared.close()
    log.info("edge_stopped", edge=edge.id)
