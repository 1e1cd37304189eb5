"""Renewing the leases of a worker, all by one loop, at a third of their time.

Between processes it runs in a thread with a connection of its own: a policy may compute for seconds, up to the stall
limit, and the event loop with it; were the lease lost meanwhile, the next owner would run the same code and lose it
again. The watchdog ends what runs for longer, so that the thread cannot hold a partition for a worker that hangs.
In one process (memory bus) nobody else could take over, and a task will do.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, MutableMapping

import structlog

from luthien_stream.bus.port import Bus
from luthien_stream.errors import BusError
from luthien_stream.worker.clock import Clock, SystemClock

log = structlog.get_logger()


async def renew_leases(bus: Bus, held: MutableMapping[str, str], worker: str, lease_s: float, clock: Clock) -> None:
    """Renew until cancelled. `held`: partition key to owner value; one that another has taken is removed."""
    while True:
        await clock.sleep(lease_s / 3)
        for partition, owner in list(held.items()):
            try:
                mine = await bus.renew(partition, owner, worker, lease_ms=int(lease_s * 1000))
            except BusError as error:
                log.warning("lease_not_renewed", partition=partition, error=type(error).__name__)
                continue
            if not mine and held.get(partition) == owner:
                held.pop(partition, None)


class LeaseThread:
    """`renew_leases` in a thread; `connect` makes a bus in that thread's event loop."""

    def __init__(self, connect: Callable[[], Bus], held: MutableMapping[str, str], worker: str, lease_s: float) -> None:
        self._connect = connect
        self._held = held
        self._worker = worker
        self._lease_s = lease_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="leases", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """End the thread; the leases run out unless they are released."""
        if self._loop is not None and self._task is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._task.cancel)
        self.join()

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._renew())
        self._ready.set()
        (ended,) = await asyncio.gather(self._task, return_exceptions=True)
        if isinstance(ended, Exception):
            log.error("lease_renewal_failed", worker=self._worker, exc_info=ended)

    async def _renew(self) -> None:
        bus = self._connect()
        try:
            await renew_leases(bus, self._held, self._worker, self._lease_s, SystemClock())
        finally:
            await bus.close()
