"""An owner's turns on their way to the server: numbered, sent until answered, kept for a server that forgets.

Every turn may be sent twice or arrive late; its number makes that harmless. `gap` says that the server has forgotten
turns (or has not got them yet): they are sent again in order.
"""

from __future__ import annotations

from collections import deque

import structlog
from msgspec import Struct

from luthien_stream.bus.port import Bus, Settled, Settlement
from luthien_stream.errors import BusError, BusFull, Fenced
from luthien_stream.worker.clock import Clock
from luthien_stream.worker.turn import Turn

log = structlog.get_logger()
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
KEPT_BYTES = 2 * 1024 * 1024
"""More confirmed turns than this are not kept, whatever their age: see the outbox."""


class TurnsLost(BusError):
    """The server has forgotten turns that are no longer kept; the partition is acquired anew."""


class _Kept(Struct):
    """A turn that was sent: `at` is when, microseconds; `size` is bytes."""

    at: int
    settlement: Settlement
    size: int


class Turns:
    """The turns of one ownership."""

    def __init__(self, bus: Bus, partition: str, owner: str, src: str, clock: Clock, kept_s: float) -> None:
        self._bus = bus
        self._partition = partition
        self._owner = owner
        self._src = src
        self._clock = clock
        self._kept_us = int(kept_s * 1e6)
        self._kept: deque[_Kept] = deque()
        self._kept_bytes = 0
        self._last = 0
        self.confirmed = 0
        """The last turn that the server has."""
        self.cursor = ""
        """The cursor of that turn."""
        self.gaps = 0
        """Times the server was behind."""

    def number(self, turn: Turn, cursor: str) -> Settlement:
        """Give a turn its number and keep it."""
        self._last += 1
        settlement = turn.settlement(self._src, self._owner, self._last, cursor)
        now = self._clock.now_us()
        size = len(settlement.effects) + sum(len(raw) for _, raw in settlement.outputs)
        self._kept.append(_Kept(now, settlement, size))
        self._kept_bytes += size
        while self._kept[0].settlement.turn <= self.confirmed and (
            self._kept[0].at < now - self._kept_us or self._kept_bytes > KEPT_BYTES
        ):
            self._kept_bytes -= self._kept.popleft().size
        return settlement

    async def settle(self, settlement: Settlement) -> None:
        """Send a turn until it is answered. Raises `Fenced` or `TurnsLost`."""
        while True:
            settled = await self._sure(settlement)
            if settled is not None:
                return await self.answered(settlement, settled)
            await self.catch_up()
            if self.confirmed >= settlement.turn:
                return None

    async def answered(self, settlement: Settlement, settled: Settled) -> None:
        """Take the answer to a turn."""
        if settled.outcome == "fenced":
            raise Fenced
        if settled.outcome == "gap":
            self.gaps += 1
            await self._resend(settled.turn)
        else:
            self._confirm(settlement)

    async def catch_up(self) -> None:
        """After a broken connection: send what the server does not have."""
        pause = FIRST_PAUSE_S
        while True:
            try:
                owner, turn = await self._bus.state(self._partition)
                break
            except BusError:
                await self._clock.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_S)
        if owner != self._owner:
            raise Fenced
        await self._resend(turn)

    async def _resend(self, known: int) -> None:
        missing = [kept.settlement for kept in self._kept if kept.settlement.turn > known]
        if known < self._last and (not missing or missing[0].turn != known + 1):
            raise TurnsLost(partition=self._partition, known=known)
        now = self._clock.now_us()
        for kept in self._kept:
            if kept.settlement.turn > known:
                kept.at = now
        for settlement in missing:
            settled = None
            while settled is None:
                settled = await self._sure(settlement)
            if settled.outcome == "fenced":
                raise Fenced
            if settled.outcome == "gap":
                return await self._resend(settled.turn)
            self._confirm(settlement)

    async def _sure(self, settlement: Settlement) -> Settled | None:
        """Send a turn; None after a pause if there was no answer."""
        try:
            return await self._bus.settle(self._partition, settlement)
        except BusFull:
            log.warning("bus_full", partition=self._partition)
            await self._clock.sleep(LONGEST_PAUSE_S)
        except BusError:
            await self._clock.sleep(FIRST_PAUSE_S)
        return None

    def _confirm(self, settlement: Settlement) -> None:
        if settlement.turn > self.confirmed:
            self.confirmed, self.cursor = settlement.turn, settlement.cursor
