"""Asking people: the question made known beside the log, the time that it waits, and what became of it.

The answer itself comes over the log. An approval that stands already answers at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from luthien_stream.bus.holds import (
    APPROVALS,
    STANDS_S,
    Hold,
    Standing,
    find_hold,
    hold_decided,
    hold_open,
    is_undelivered,
    stand,
    standing_for,
    take_standing,
)
from luthien_stream.bus.port import Bus
from luthien_stream.core.partition import partition_of
from luthien_stream.core.program import Want
from luthien_stream.worker.clock import Clock
from luthien_stream.worker.patience import sure
from luthien_stream.worker.presence import Presence

LOOK_S = 0.5
"""How often it is looked whether an approval is still another call's."""
AGAIN_S = 2.0
"""How often it is looked for an approval while a person is asked."""
DELIVERY_S = 20.0
"""How long an approval of another call that may still be delivered is waited for: longer than a dead edge is known for
alive. Then a person is asked, and it goes on being looked for."""
EXPIRED = {"decision": "expired", "by": "", "args": None}
Answered = tuple[str, str, Want, Any]
"""A call, its edge, what was asked and what was adopted for the answer."""


async def ask_nobody(call: str, want: Want) -> Any:
    """Answer for a policy that only watches: nobody is asked about what will be done anyway."""
    return EXPIRED


class Asking:
    """The performer of `ask` for one stage, and the owner's notes of what was decided."""

    def __init__(self, bus: Bus, clock: Clock, presence: Presence, stage: str) -> None:
        self._bus, self._clock, self._presence, self._stage = bus, clock, presence, stage
        self.patience_s = DELIVERY_S

    async def perform(self, call: str, want: Want) -> Any:
        """Wait for the deadline, in microseconds since 1970, in `args`. A takeover waits on for the same one."""
        hold = self._hold(call, want)
        try:
            async with asyncio.timeout(max(0.0, (hold.deadline - self._clock.now_us()) / 1e6)):
                standing = await self._standing(call, want, hold)
                if standing is None:
                    await sure(self._clock, lambda: hold_open(self._bus, hold, self._clock.now_us()))
                while standing is None:
                    await self._clock.sleep(AGAIN_S)
                    standing = await self._late(call, want, hold)
        except TimeoutError:
            return EXPIRED
        return {"decision": standing.decision, "by": standing.by, "args": standing.args}

    async def decided(self, answered: Iterable[Answered]) -> None:
        """Write down what was adopted, before it is settled: nobody may get an answer whose approval then stands."""
        for call, edge, want, value in answered:
            if not isinstance(value, dict) or "decision" not in value:
                continue
            hold = self._hold(call, want)
            hold.decision, hold.by, hold.args = value["decision"], value["by"], value["args"]
            await sure(self._clock, lambda hold=hold, edge=edge: self._write(hold, edge))  # type: ignore[misc]

    async def _write(self, hold: Hold, edge: str) -> None:
        known = await find_hold(self._bus, hold.id)
        if known is not None:
            hold.since, hold.at = known.since, self._clock.now_us()
            await hold_decided(self._bus, hold, hold.at)
        if hold.decision in APPROVALS and hold.session:
            standing = Standing(hold.decision, hold.by, hold.args, hold.call, edge)
            await stand(self._bus, hold.session, hold.digest, standing, for_s=STANDS_S)

    async def _standing(self, call: str, want: Want, hold: Hold) -> Standing | None:
        """Take an approval that stands; one whose call may still be delivered is waited for, a while."""
        until = self._clock.now_us() + int(self.patience_s * 1e6)
        while True:
            found = await sure(self._clock, lambda: standing_for(self._bus, hold.session, hold.digest))
            if found is None or await self._stands(found):
                # Also where there is none: this may be the repeat of an owner that took it and died.
                return await self._take(call, want, hold)
            if self._clock.now_us() > until:
                return None
            await self._clock.sleep(LOOK_S)

    async def _late(self, call: str, want: Want, hold: Hold) -> Standing | None:
        """Take an approval that has come since, too late for an earlier call that asked the same."""
        found = await sure(self._clock, lambda: standing_for(self._bus, hold.session, hold.digest))
        return await self._take(call, want, hold) if found is not None and await self._stands(found) else None

    async def _take(self, call: str, want: Want, hold: Hold) -> Standing | None:
        once = f"{call}/{self._stage}/{want.key}"
        return await sure(self._clock, lambda: take_standing(self._bus, hold.session, hold.digest, once=once))

    async def _stands(self, found: Standing) -> bool:
        """Whether nobody else may still get what the approval was given for."""
        if not found.edge or self._presence.is_gone(found.edge):
            return True
        return await sure(self._clock, lambda: is_undelivered(self._bus, found.call))

    def _hold(self, call: str, want: Want) -> Hold:
        asked = want.args if isinstance(want.args, dict) else {}
        subject = asked.get("subject") or {}
        return Hold(
            call=call,
            key=want.key,
            stage=self._stage,
            partition=partition_of(call),
            deadline=int(asked.get("deadline") or 0),
            since=self._clock.now_us(),
            subject={**subject, "digest": asked.get("digest") or subject.get("digest", "")},
        )
