"""Deciding on a held call, and waiting for what comes of it: the record of the call's owner counts, not who was first.

Too late for the call itself, an approval stands for the next identical tool call of the session.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from luthien_stream.bus import keys
from luthien_stream.bus.holds import APPROVALS, Hold, Standing, find_hold, stand, standing_for
from luthien_stream.bus.port import Bus
from luthien_stream.events import pack
from luthien_stream.events.log import ApprovalDecided

WAIT_S = 10.0
"""How long the call's owner may take."""
LOOK_S = 0.05
Came = Literal["adopted", "already", "stands", "late", "unknown"]


class Decision(Struct, frozen=True):
    """What a person says. `for_s` is how long a late approval stands."""

    kind: Literal["approve", "reject", "modify"]
    by: str
    args: Any = None
    for_s: float = 900.0


class Outcome(Struct, frozen=True):
    """What came of it. `hold` is what is known of the question now.

    `adopted`: it counts; `already`: another decision did; `stands`: too late, and an approval for the next time;
    `late`: too late, and of no effect; `unknown`: the owner has not said yet.
    """

    came: Came
    hold: Hold
    standing: Standing | None = None


async def decide(bus: Bus, hold: Hold, decision: Decision, *, wait_s: float = WAIT_S) -> Outcome:
    """Decide, and wait for what comes of it. Raises `BusError`."""
    hold = await find_hold(bus, hold.id) or hold
    if hold.decision not in ("", "expired"):
        return Outcome("already", hold)
    if not await is_waiting(bus, hold):
        return await _late(bus, hold, decision)
    said = ApprovalDecided(
        call=hold.call, time=_now(), key=hold.key, decision=decision.kind, by=decision.by, digest=hold.digest
    )
    said.args = decision.args
    stream = keys.partition_stream(keys.partition(hold.stage, hold.partition))
    await bus.append(stream, pack.encode(f"console:{decision.by}", [said]))
    end = time.monotonic() + wait_s
    while True:
        waiting = await is_waiting(bus, hold)
        hold = await find_hold(bus, hold.id) or hold
        if hold.decision not in ("", "expired"):
            mine = (hold.decision, hold.by) == (decision.kind, decision.by)
            return Outcome("adopted" if mine else "already", hold)
        if hold.decision or not waiting:
            return await _late(bus, hold, decision)
        if time.monotonic() > end:
            return Outcome("unknown", hold)
        await asyncio.sleep(LOOK_S)


async def is_waiting(bus: Bus, hold: Hold) -> bool:
    """Whether the call still waits for this answer."""
    if hold.decision or hold.deadline <= _now():
        return False
    return hold.call in await bus.open_calls(keys.partition(hold.stage, hold.partition))


async def _late(bus: Bus, hold: Hold, decision: Decision) -> Outcome:
    if decision.kind not in APPROVALS or not hold.session:
        return Outcome("late", hold)
    standing = await standing_for(bus, hold.session, hold.digest)
    if standing is None:
        standing = Standing(decision.kind, decision.by, decision.args)
        await stand(bus, hold.session, hold.digest, standing, for_s=decision.for_s)
    return Outcome("stands", hold, standing)


def told(outcome: Outcome, decision: Decision, at: Callable[[int], str]) -> str:
    """Return the outcome in a sentence; `at` writes a time (microseconds since 1970)."""
    hold = outcome.hold
    match outcome.came:
        case "adopted":
            return f"{decision.kind}: the call goes on with it"
        case "already":
            return f"already decided: {hold.decision} by {hold.by or 'somebody'} at {at(hold.at)}; nothing was changed"
        case "stands":
            by = outcome.standing.by if outcome.standing else decision.by
            return f"too late for the call; approved by {by} for the next identical tool call of its session, once"
        case "late" if decision.kind in APPROVALS:
            return "too late: the call is over, and it names no session in which the approval could stand"
        case "late":
            return "too late: the call is over, its question has expired; nothing was changed"
    return f"the call's worker has not said within {WAIT_S:.0f} s what came of it: look again with `approvals show`"


def _now() -> int:
    return time.time_ns() // 1000
