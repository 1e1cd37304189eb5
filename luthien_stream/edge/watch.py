"""One ticker for all calls: keep-alives, the watchdog, deadlines, and slow clients that have caught up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection

import structlog
from msgspec import Struct

from luthien_stream.edge import failure
from luthien_stream.edge.call import Call
from luthien_stream.edge.delivery import KEEPALIVE_S, UNSENT_BYTES
from luthien_stream.edge.line import microseconds

log = structlog.get_logger()

PERIOD_S = 0.1
"""How soon a slow client that has caught up is noticed."""
WATCHDOG_S = 60.0
"""Silence of a stage that owes an answer, and of a client that takes nothing, before the call is ended."""
SILENT_EVENTS = 64
"""A stage says at least every so many events that it has seen them."""
_LOOKS_A_SECOND = 10


class _Debt(Struct):
    outputs: int
    since: float


class Watch:
    """Looks at all calls, again and again."""

    def __init__(
        self, calls: Collection[Call], *, keepalive_s: float = KEEPALIVE_S, watchdog_s: float = WATCHDOG_S
    ) -> None:
        """`calls` is a live view of the open ones."""
        self._calls = calls
        self._keepalive_s = keepalive_s
        self._watchdog_s = watchdog_s
        self._debts: dict[str, _Debt] = {}
        self._stuck: dict[str, float] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        looks = 0
        while True:
            await asyncio.sleep(PERIOD_S)
            looks += 1
            for call in self._calls:
                call.credit.look()
            if looks % _LOOKS_A_SECOND == 0:
                self.look(time.monotonic(), microseconds())

    def look(self, now: float, wall: int) -> None:
        """Look at every call once. `now` is monotonic seconds, `wall` microseconds since 1970."""
        for call in list(self._calls):
            if not call.over:
                self._keep_alive(call, now)
                self._watch_stage(call, now, wall)
                self._watch_client(call, now)
        open_ids = {call.id for call in self._calls}
        for kept in (self._debts, self._stuck):
            for gone in kept.keys() - open_ids:
                del kept[gone]

    def _keep_alive(self, call: Call, now: float) -> None:
        if call.gone or not call.asked.view.streamed or now - call.delivery.wrote_at < self._keepalive_s:
            return
        if call.delivery.begun:
            call.inject(call.asked.lens.keepalive(), "keepalive")
        else:
            call.commit_early = True
            call.wake.set()

    def _watch_stage(self, call: Call, now: float, wall: int) -> None:
        if wall > call.deadline:
            log.warning("call_past_deadline", call=call.id)
            call.abandon(failure.DEADLINE)
            return
        waits = call.waits.until and wall < call.waits.until + self._watchdog_s * 1e6
        if waits or call.unanswered < SILENT_EVENTS:
            self._debts.pop(call.id, None)
            return
        debt = self._debts.get(call.id)
        if debt is None or debt.outputs != call.outputs:
            self._debts[call.id] = _Debt(call.outputs, now)
        elif now - debt.since > self._watchdog_s:
            log.warning("call_without_progress", call=call.id)
            call.abandon(failure.NO_PROGRESS)

    def _watch_client(self, call: Call, now: float) -> None:
        if call.delivery.unsent() <= UNSENT_BYTES:
            self._stuck.pop(call.id, None)
        elif now - self._stuck.setdefault(call.id, now) > self._watchdog_s:
            log.warning("client_takes_nothing", call=call.id)
            call.abandon(failure.SLOW_CLIENT)
            call.delivery.abort()
