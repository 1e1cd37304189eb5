"""What an edge does every few seconds: says that it lives, keeps its inbox alive and short, notices a restarted log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

import structlog

from luthien_stream.bus.ids import order
from luthien_stream.bus.port import Bus
from luthien_stream.edge.admission import Admission
from luthien_stream.edge.call import Call
from luthien_stream.edge.inbox import Inbox
from luthien_stream.edge.outboxes import Outboxes
from luthien_stream.edge.reach import Reach
from luthien_stream.errors import BusError

log = structlog.get_logger()

PERIOD_S = 2.0
"""How often the facts for admission are gathered."""
UPKEEP_EVERY = 2
"""Heartbeat and inbox come every so many periods."""
BEAT_TTL_MS = 15_000
INBOX_TTL_MS = 24 * 3600 * 1000
"""An inbox outlives its edge by this, so that a dead edge's final lanes reach the record."""


class Beats:
    """The edge's own upkeep in the log."""

    def __init__(
        self,
        bus: Bus,
        edge: str,
        inbox: Inbox,
        outboxes: Outboxes,
        admission: Admission,
        calls: Collection[Call],
        facts: Callable[[], dict[str, str]],
        *,
        recorded: bool,
    ) -> None:
        """`facts` are told with each heartbeat; `recorded`: there is an activity consumer that must see the inbox."""
        self._bus, self._edge, self._inbox, self._outboxes = bus, edge, inbox, outboxes
        self._admission, self._calls, self._facts, self._recorded = admission, calls, facts, recorded
        self._reach = Reach()
        self._run_id = ""

    async def run(self) -> None:
        """Beat until cancelled."""
        rounds = 0
        while True:
            await self._admission.look()
            if rounds % UPKEEP_EVERY == 0 or not self._run_id:
                await self.upkeep()
            rounds += 1
            await asyncio.sleep(PERIOD_S)

    async def upkeep(self) -> None:
        """Do it once; a log that does not answer is left for the next time."""
        try:
            await self._notice_restart()
            await self._bus.beat("edge", self._edge, self._facts(), ttl_ms=BEAT_TTL_MS)
            await self._bus.expire_stream(self._inbox.stream, ttl_ms=INBOX_TTL_MS)
            await self._bus.trim_stream(self._inbox.stream, await self._done_before(), max_age_ms=INBOX_TTL_MS)
        except BusError as error:
            log.warning("heartbeat_failed", error=type(error).__name__)

    async def leave(self) -> None:
        """Say that this edge is gone; its inbox stays for the record."""
        try:
            await self._bus.unbeat("edge", self._edge)
        except BusError as error:
            log.warning("heartbeat_failed", error=type(error).__name__)

    async def _notice_restart(self) -> None:
        run_id = await self._bus.run_id()
        if run_id == self._run_id:
            return
        await self._bus.register_stream(self._inbox.stream, recorded=self._recorded)
        if self._run_id:
            log.warning("log_restarted", run_id=run_id)
            self._outboxes.resend()
        self._run_id = run_id

    async def _done_before(self) -> str:
        """The entry that no open call needs anything before, and no client that might come back."""
        outboxes, inbox = self._outboxes, self._inbox
        if inbox.is_read:
            position, written = inbox.position, inbox.bytes
        else:
            # Nobody reads it here: calls that begin from now on need nothing from before.
            inbox.position = position = await self._bus.last_id(inbox.stream)
            written = sum(outbox.written for outbox in (outboxes.copies, outboxes.notes, outboxes.own))
        kept = self._reach.mark(time.monotonic(), position, written)
        return min([kept, position, *(call.inbox_from for call in self._calls)], key=order)
