"""Questions to people as the log keeps them beside the calls that wait, and approvals that stand without a call.

An approval stands for the next identical tool call of its session: a late one, and one whose answer no client got. As
long as the edge that had the call may still deliver it nobody takes the approval.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from msgspec import Struct, field

from luthien_stream.bus.port import Bus

GROUP = "holds"
KEPT_S = 24 * 3600
"""How long a question is known after its deadline."""
STANDS_S = 900
"""How long an approval stands, unless a person says otherwise."""
APPROVALS = ("approve", "modify")


class Hold(Struct, omit_defaults=True):
    """A question: `subject` is what `call.held` says of it. Times are microseconds since 1970."""

    call: str
    key: str
    stage: str
    partition: int
    deadline: int
    since: int = 0
    subject: dict[str, Any] = field(default_factory=dict)
    decision: str = ""
    """What the call's owner took for the answer: `approve`, `modify`, `reject` or `expired`; empty while it waits."""
    by: str = ""
    at: int = 0
    args: Any = None

    @property
    def id(self) -> str:
        """Its name among the holds."""
        return f"{self.call}:{self.key}"

    @property
    def session(self) -> str:
        """The agent run that it belongs to, empty where unknown."""
        return str(self.subject.get("session") or "")

    @property
    def digest(self) -> str:
        """What a decision is bound to: tool, arguments and the policy's version."""
        return str(self.subject.get("digest") or "")


class Standing(Struct, omit_defaults=True):
    """An approval that stands. `call` is the one that it was given for, `edge` that call's."""

    decision: str
    by: str
    args: Any = None
    call: str = ""
    edge: str = ""


_HOLD = msgspec.msgpack.Decoder(Hold)
_STANDING = msgspec.msgpack.Decoder(Standing)
_NAMES = msgspec.msgpack.Decoder(list[str])
_pack = msgspec.msgpack.encode


async def hold_open(bus: Bus, hold: Hold, now: int) -> None:
    """Make a question known; one that is known stays as it is. `now` in microseconds."""
    ttl_ms = _left_ms(hold, now)
    await bus.claim_value(_hold(hold.id), _pack(hold), ttl_ms=ttl_ms)
    await bus.enlist(GROUP, hold.id, ttl_ms=ttl_ms)


async def hold_decided(bus: Bus, hold: Hold, now: int) -> None:
    """Write down what became of a question."""
    await bus.put_values({_hold(hold.id): _pack(hold)}, ttl_ms=_left_ms(hold, now))


async def find_hold(bus: Bus, id: str) -> Hold | None:
    """A question by its id."""
    raw = await bus.get_value(_hold(id))
    return _HOLD.decode(raw) if raw is not None else None


async def all_holds(bus: Bus) -> list[Hold]:
    """All questions that are known, those with the earliest deadline first."""
    found = [await find_hold(bus, id) for id in await bus.enlisted(GROUP)]
    return [hold for hold in found if hold is not None]


async def stand(bus: Bus, session: str, digest: str, standing: Standing, *, for_s: float) -> None:
    """Let an approval stand."""
    ttl_ms, name = int(for_s * 1000), _standing(session, digest)
    values = {name: _pack(standing)}
    if standing.edge:
        known = await bus.get_value(_of_call(standing.call))
        names = {name, *(_NAMES.decode(known) if known is not None else ())}
        values[_of_call(standing.call)] = _pack(sorted(names))
    await bus.put_values(values, ttl_ms=ttl_ms)


async def standing_for(bus: Bus, session: str, digest: str) -> Standing | None:
    """The approval that stands for a tool call, left where it is."""
    raw = await bus.get_value(_standing(session, digest)) if session else None
    return _STANDING.decode(raw) if raw is not None else None


async def take_standing(bus: Bus, session: str, digest: str, *, once: str) -> Standing | None:
    """Take it: nobody else gets it, whoever takes it `once` gets it as often as it asks."""
    raw = await bus.take_value(_standing(session, digest), once=once) if session else None
    return _STANDING.decode(raw) if raw is not None else None


async def answer_given(bus: Bus, call: str, *, delivered: bool) -> None:
    """A call is over: approvals of it stand no more, or, where no client got the answer, for whoever asks next.

    Where one client has gone and another one got it, both are said, in any order, and they stand no more.
    """
    if not delivered:
        await bus.put_values({_undelivered(call): b"1"}, ttl_ms=STANDS_S * 1000)
        return
    known = await bus.get_value(_of_call(call))
    for name in _NAMES.decode(known) if known is not None else ():
        raw = await bus.get_value(name)
        standing = _STANDING.decode(raw) if raw is not None else None
        if standing is not None and standing.call == call:
            await bus.drop_value(name)


async def is_undelivered(bus: Bus, call: str) -> bool:
    """Whether a call is over and no client got its answer."""
    return await bus.get_value(_undelivered(call)) is not None


def _left_ms(hold: Hold, now: int) -> int:
    return max(0, hold.deadline - now) // 1000 + KEPT_S * 1000


def _hold(id: str) -> str:
    return f"hold:{id}"


def _standing(session: str, digest: str) -> str:
    # Sessions are named by clients: in any length, and with any characters.
    return f"standing:{hashlib.sha256(session.encode('utf-8', 'replace')).hexdigest()}:{digest}"


def _undelivered(call: str) -> str:
    return f"undelivered:{call}"


def _of_call(call: str) -> str:
    return f"stands:{call}"
