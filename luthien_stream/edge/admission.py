"""Whether the edge takes a new call: decided from facts that are gathered beside the calls, never by waiting."""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from typing import Literal

import structlog

from luthien_stream.bus.port import Bus
from luthien_stream.edge.call import Call
from luthien_stream.edge.refusals import NotNow
from luthien_stream.errors import BusError
from luthien_stream.policy.stages import Stages

log = structlog.get_logger()

FULL = 0.85
"""Share of the log's memory above which nothing new is taken."""
BEHIND_S = 10.0
"""How long the stage may answer nobody while calls wait."""
BEHIND_CALLS = 8
"""So many must wait: one alone may rightly wait for a judge."""
STALE_S = 6.0
"""Facts older than this are no facts: the log does not answer."""
LOOK_AGAIN_S = 0.25
"""Least time between two looks for a worker."""
Way = Literal["policed", "bypassed"]


class Admission:
    """The facts about log and workers, and what they mean for a call."""

    def __init__(self, bus: Bus, calls: Collection[Call], stages: Stages) -> None:
        """`stages` are those in force."""
        self.stages = stages
        self._bus, self._calls = bus, calls
        self._answered_at = -math.inf
        self._looked_at = 0.0
        self._full = False
        self._behind = False
        self.draining = False
        self.workers: frozenset[str] = frozenset()
        """The keys of all stages that live workers serve, as of the last look."""

    async def look(self, *, for_workers: bool = False) -> None:
        """Gather the facts once, about workers only where stages need them. Raises nothing: no answer is a fact."""
        self._looked_at = time.monotonic()
        self._behind = self.waiting_s() > BEHIND_S
        try:
            used, limit = await self._bus.memory()
            workers = await self._bus.alive("worker") if for_workers or self.stages else {}
        except BusError as error:
            log.warning("log_does_not_answer", error=type(error).__name__)
            self._answered_at = -math.inf
            return
        self._answered_at = time.monotonic()
        self._full = limit > 0 and used >= FULL * limit
        self.workers = frozenset(key for facts in workers.values() for key in facts.get("stages", "").split(","))

    async def check(self) -> None:
        """Raise `NotNow` if nothing at all is taken."""
        if not self.log_answers and time.monotonic() - self._looked_at > LOOK_AGAIN_S:
            await self.look()
        if reason := self.closed_because:
            raise NotNow(reason)

    async def admit(self, stages: Collection[str], *, fails_open: bool) -> Way:
        """Say which way a new call goes that is to pass these stages. Raises `NotNow`.

        `fails_open` is what they say of themselves: others may be in force once the log has been asked.
        """
        if not self.workers.issuperset(stages) and time.monotonic() - self._looked_at > LOOK_AGAIN_S:
            await self.look()
        await self.check()
        unserved = sorted(set(stages) - self.workers)
        if not unserved and not (stages and self._behind):
            return "policed"
        if fails_open:
            return "bypassed"
        if unserved:
            raise NotNow(f"{_unserved(unserved)}: start one with `luthien-stream worker`")
        raise NotNow("The policy workers are behind: try again")

    @property
    def served(self) -> bool:
        """Live workers serve all stages."""
        return self.workers.issuperset(self.stages.keys)

    @property
    def log_answers(self) -> bool:
        """The log has answered of late."""
        return time.monotonic() - self._answered_at < STALE_S

    @property
    def closed_because(self) -> str:
        """Why nothing at all is taken; empty if it is."""
        if self.draining:
            return "The gateway is shutting down"
        if not self.log_answers:
            return "The log (Redis) cannot be reached: calls are not taken without a record"
        if self._full:
            return "The log (Redis) is nearly full: raise maxmemory or wait until calls have ended"
        return ""

    @property
    def not_ready(self) -> str:
        """Why `/readyz` says no; empty if it says yes."""
        if self.closed_because or self.served or self.stages.fails_open:
            return self.closed_because
        return _unserved(sorted(set(self.stages.keys) - self.workers))

    def waiting_s(self) -> float:
        """For how long the stage has answered nobody while at least `BEHIND_CALLS` wait for its first word."""
        waiting = [call.began_at for call in self._calls if not call.relayed and not call.outputs and not call.over]
        if len(waiting) < BEHIND_CALLS:
            return 0.0
        return time.monotonic() - max(min(waiting), max(call.answered_at for call in self._calls))


def _unserved(stages: list[str]) -> str:
    """Which stages are meant, where a gateway has several."""
    names = ", ".join(stage.partition("@")[0] for stage in stages)
    return f"No policy worker serves this gateway's pipeline (stage {names})"
