"""Which edges live. After a server restart nobody is taken for dead for a while: heartbeats may have been forgotten."""

from __future__ import annotations

from luthien_stream.bus.port import Bus
from luthien_stream.errors import BusError
from luthien_stream.worker.clock import Clock


class Presence:
    """Polled by one task of the worker, asked by all its partitions."""

    def __init__(self, bus: Bus, clock: Clock, *, every_s: float, edge_ttl_s: float) -> None:
        self._bus = bus
        self._clock = clock
        self._every_s = every_s
        self._ttl_us = int(edge_ttl_s * 1e6)
        self._edges: set[str] = set()
        self._run_id = ""
        self._polled = 0
        self._quiet_until = 0

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            try:
                await self.poll()
            except BusError:
                self._polled = 0
            await self._clock.sleep(self._every_s)

    async def poll(self) -> None:
        """Look once. The server is asked for its incarnation last: the same as before means that the list is whole."""
        edges = await self._bus.alive("edge")
        run_id = await self._bus.run_id()
        now = self._clock.now_us()
        if run_id != self._run_id:
            self._run_id, self._quiet_until = run_id, now + self._ttl_us
        self._edges, self._polled = set(edges), now

    def is_gone(self, edge: str) -> bool:
        """Whether an edge is dead for certain."""
        now = self._clock.now_us()
        known = self._polled > 0 and now - self._polled < self._ttl_us and now >= self._quiet_until
        return known and edge not in self._edges
