"""The one way of a producer to a stream: events in, packs out, in order, each confirmed before the next one leaves.

An idle outbox writes at once; what arrives while a write is in flight leaves together. A write that may or may not
have been executed is repeated as it was before anything newer: readers drop what they have seen, by `n`. Confirmed
packs are kept for some seconds and written again to a server that was restarted, since it may have forgotten them.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections import deque
from collections.abc import Callable
from time import monotonic

import structlog
from msgspec import Struct, field

from luthien_stream.bus.limits import PUBLISH_DEADLINE_S
from luthien_stream.bus.port import Bus
from luthien_stream.errors import BusError
from luthien_stream.events.log import AnyEvent
from luthien_stream.events.pack import encode_event, join

log = structlog.get_logger()

ROOM_BYTES = 4 * 1024 * 1024
"""More than this waiting, and `room` waits."""
KEPT_BYTES = 2 * 1024 * 1024
"""More than this is not kept, whatever its age: 5 s of some 1,200 chunks a second, and there is one a partition."""
BUSY_INTERVAL_S = 1 / 500
"""Writes that follow each other closer than this wait `linger_s` for company."""
FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 1.0
GRACE_S = 3.0
"""A write that has begun may take a command's deadline longer than `close` allows."""


class _Pack(Struct):
    """A pack that is being filled, and then on its way. `at` is when its first event came."""

    at: float
    events: list[bytes] = field(default_factory=list)
    calls: set[str] = field(default_factory=set)
    size: int = 0


class _Kept(Struct):
    """A pack that was written; `at` is when it was last confirmed."""

    at: float
    raw: bytes


class Outbox:
    """Publishes the events of one source to one stream.

    `on_lost` gets the calls of a pack that could not be written within `publish_deadline_s` of its first event.
    `keep_s` is how long confirmed packs are kept (0 where the server forgets nothing). Run `run` as a task.
    """

    def __init__(
        self,
        bus: Bus,
        stream: str,
        src: str,
        *,
        on_lost: Callable[[set[str]], None],
        keep_s: float = 5.0,
        publish_deadline_s: float = PUBLISH_DEADLINE_S,
        max_events: int = 64,
        max_bytes: int = 32768,
        linger_s: float = 0.0015,
        patience_s: float = 0.005,
    ) -> None:
        self._bus, self._stream, self._src, self._on_lost = bus, stream, src, on_lost
        self._keep_s, self._deadline_s, self._linger_s = keep_s, publish_deadline_s, linger_s
        self._max_events, self._max_bytes = max_events, max_bytes
        self._patience_s = patience_s
        self._queue: deque[_Pack] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        """Ends the patience of what waits, unless it leaves before."""
        self._kept: deque[_Kept] = deque()
        self._kept_bytes = 0
        self._waiting = 0
        self.written = 0
        """Bytes confirmed so far."""
        self._wake, self._confirmed, self._done = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._closing_at = math.inf
        self._again = False
        self._run_id = ""
        self._last_write, self._interval = 0.0, 1.0

    def put(self, event: AnyEvent, *, patient: bool = False) -> None:
        """Queue an event whose `n` and `time` are set. Never waits.

        A `patient` one leaves together with the next that is not, or after `patience_s`: nobody waits for it alone.
        """
        self.put_encoded(event.call, encode_event(event), patient=patient)

    def put_encoded(self, call: str, raw: bytes, *, patient: bool = False) -> None:
        """The same for an event whose bytes go to several places."""
        size = len(raw)
        pack = self._queue[-1] if self._queue else None
        if pack is None or len(pack.events) >= self._max_events or pack.size + size > self._max_bytes:
            pack = _Pack(monotonic())
            self._queue.append(pack)
        pack.events.append(raw)
        pack.calls.add(call)
        pack.size += size
        self._waiting += size
        if not patient:
            self._wake.set()
        elif self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(self._patience_s, self._wake.set)

    @property
    def waiting(self) -> int:
        """Bytes that were put and are not confirmed."""
        return self._waiting

    @property
    def idle(self) -> bool:
        """All that was put is confirmed."""
        return self._waiting == 0

    async def room(self) -> None:
        """Return when no more than 4 MiB wait to be confirmed."""
        while self._waiting > ROOM_BYTES:
            self._confirmed.clear()
            await self._confirmed.wait()

    def resend(self) -> None:
        """Write the kept packs again, before anything newer: the server has another `run_id`."""
        self._again = True
        self._wake.set()

    async def run(self) -> None:
        """Write packs until `close`."""
        try:
            await self._notice_restart()
            while self._queue or self._again or self._closing_at == math.inf:
                await self._wake.wait()
                self._wake.clear()
                await self._write_all()
        finally:
            self._done.set()

    async def close(self, deadline_s: float) -> None:
        """Let `run` write what is queued and end; what is not confirmed after `deadline_s` seconds is lost."""
        self._closing_at = monotonic() + deadline_s
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_s + GRACE_S):
                await self._done.wait()

    async def _write_all(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        while self._queue or self._again:
            await self._wait_for_company()
            pack = self._queue.popleft() if self._queue else _Pack(monotonic())
            await self._deliver(pack)
            self._waiting -= pack.size
            self._confirmed.set()

    async def _wait_for_company(self) -> None:
        now = monotonic()
        self._interval += (min(now - self._last_write, 1.0) - self._interval) / 8
        self._last_write = now
        if self._linger_s and self._interval < BUSY_INTERVAL_S and not self._has_full_pack():
            await asyncio.sleep(self._linger_s)

    def _has_full_pack(self) -> bool:
        return len(self._queue) > 1 or (bool(self._queue) and len(self._queue[0].events) >= self._max_events)

    async def _deliver(self, pack: _Pack) -> None:
        """Write the kept packs if they are due, then this one (unless it is empty), until confirmed or too late."""
        pause, raw = FIRST_PAUSE_S, join(self._src, pack.events) if pack.events else b""
        while monotonic() < self._closing_at:
            try:
                if self._again:
                    await self._write_kept()
                if raw:
                    await self._bus.append(self._stream, raw)
                    self._keep(raw)
                return
            except BusError as error:
                if pause == FIRST_PAUSE_S:
                    log.warning("publish_repeated", stream=self._stream, error=type(error).__name__)
                if monotonic() >= pack.at + self._deadline_s:
                    break
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE_S)
            await self._notice_restart()
        self._lose(pack)

    def _lose(self, pack: _Pack) -> None:
        self._again = False
        log.error("publish_lost", stream=self._stream, calls=len(pack.calls))
        if pack.calls:
            self._on_lost(pack.calls)

    def _keep(self, raw: bytes) -> None:
        """Keep a pack, and let go what was confirmed `keep_s` before it or is too much."""
        self.written += len(raw)
        if not self._keep_s:
            return
        now = monotonic()
        self._kept.append(_Kept(now, raw))
        self._kept_bytes += len(raw)
        while len(self._kept) > 1 and (self._kept[0].at < now - self._keep_s or self._kept_bytes > KEPT_BYTES):
            self._kept_bytes -= len(self._kept.popleft().raw)

    async def _write_kept(self) -> None:
        """Write them all again in order, whatever their age: it counts from the last write before the server was lost.

        A failure leaves all of it due.
        """
        for pack in list(self._kept):
            await self._bus.append(self._stream, pack.raw)
            pack.at = monotonic()
        self._again = False

    async def _notice_restart(self) -> None:
        try:
            run_id = await self._bus.run_id()
        except BusError:
            return
        self._again = self._again or self._run_id not in ("", run_id)
        self._run_id = run_id
