"""The watchdog of a worker: a thread that ends the process when one call runs for too long without waiting.

A policy with an endless loop blocks the event loop, and with it all partitions of the worker. The watchdog dumps the
stacks, leaves word which call it was so that the next owner cuts exactly that one, gives up all leases, and exits.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable

import structlog

from luthien_stream.worker.poison import Suspect

log = structlog.get_logger()
EXIT_STATUS = 70
Running = tuple[str, str, str]
"""(partition key, call, entry)"""


class Watch:
    """What runs now. The loop sets `running` to a new tuple before each step, and to None after it."""

    __slots__ = ("owners", "running")

    def __init__(self) -> None:
        self.running: Running | None = None
        self.owners: dict[str, str] = {}
        """Partition key to owner value, of the partitions that this worker owns."""


class Watchdog:
    """Looks at a `Watch` from a thread of its own."""

    def __init__(
        self,
        watch: Watch,
        last_words: Callable[[str, str, str], None],
        stall_s: float,
        *,
        die: Callable[[int], object] = os._exit,
    ) -> None:
        self._watch = watch
        self._last_words = last_words
        self._stall_s = stall_s
        self._die = die
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stall-watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        seen: Running | None = None
        since = time.monotonic()
        while not self._stop.wait(self._stall_s / 20):
            now, running = time.monotonic(), self._watch.running
            if running is None or running is not seen:
                seen, since = running, now
            elif now - since >= self._stall_s:
                return self._end(running)

    def _end(self, running: Running) -> None:
        partition, call, entry = running
        log.critical("policy_stalled", partition=partition, call=call, entry=entry, seconds=self._stall_s)
        faulthandler.dump_traceback(sys.__stderr__ or 2)
        owners = dict(self._watch.owners)
        try:
            self._last_words(partition, owners.pop(partition, ""), Suspect(call, entry).convicted().text())
            for other, owner in owners.items():
                self._last_words(other, owner, "")
        finally:
            self._die(EXIT_STATUS)
