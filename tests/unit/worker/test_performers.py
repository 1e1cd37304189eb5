"""What a worker does for policies: people asked until a deadline, approvals that stand, sessions, and what is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from luthien_stream.bus import keys
from luthien_stream.bus.holds import Hold, Standing, all_holds, answer_given, find_hold, stand, standing_for
from luthien_stream.bus.memory import MemoryBus
from luthien_stream.bus.port import START, Settlement
from luthien_stream.core.partition import partition_of
from luthien_stream.core.program import Folded, Want
from luthien_stream.worker.asking import EXPIRED, Asking
from luthien_stream.worker.clock import SystemClock
from luthien_stream.worker.performers import performers
from luthien_stream.worker.presence import Presence
from tests.wait import wait_until

CLOCK = SystemClock()
STAGE = "main@00000000"
EDGE = "e1"


class Rig:
    """One worker's performers, and the log."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.presence = Presence(self.bus, CLOCK, every_s=0.02, edge_ttl_s=0.3)
        self.asking = Asking(self.bus, CLOCK, self.presence, STAGE)
        self.performers = performers(self.bus, CLOCK, STAGE, self.asking)

    async def perform(self, kind: str, args: Any, *, call: str = "c", key: str = "0/response/0") -> Any:
        """Perform once, within some seconds."""
        async with asyncio.timeout(5):
            return await self.performers[kind](call, Want(key, kind, args))

    async def edge_lives(self, ttl_ms: int) -> None:
        """The edge of earlier calls says that it lives, for a while, and the worker looks on."""
        await self.bus.beat("edge", EDGE, {}, ttl_ms=ttl_ms)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    await rig.edge_lives(60_000)
    looking = asyncio.create_task(rig.presence.run())
    yield rig
    looking.cancel()


def asked(within_s: float = 0.2, session: str = "run 7") -> dict[str, Any]:
    """What a policy asks a person."""
    subject = {"tool": "sh", "arguments": "{}", "session": session}
    return {"digest": "d1", "deadline": CLOCK.now_us() + int(within_s * 1e6), "subject": subject}


async def test_a_question_is_known_until_its_deadline(rig: Rig) -> None:
    """With all that a person has to see, and where the answer goes."""
    asking = asyncio.create_task(rig.perform("ask", asked()))
    await wait_until(lambda: rig.bus.data.members != {})
    (hold,) = await all_holds(rig.bus)
    assert (hold.id, hold.stage, hold.partition) == ("c:0/response/0", STAGE, partition_of("c"))
    assert (hold.subject["tool"], hold.session, hold.digest, hold.decision) == ("sh", "run 7", "d1", "")
    assert await asking == EXPIRED


async def test_a_takeover_asks_on_and_does_not_ask_anew(rig: Rig) -> None:
    """The same deadline; what was decided meanwhile stays, and one that has passed is over at once."""
    args = asked(60)
    first = asyncio.create_task(rig.perform("ask", args))
    await wait_until(lambda: rig.bus.data.members != {})
    first.cancel()
    value = {"decision": "approve", "by": "ann", "args": None}
    await rig.asking.decided([("c", EDGE, Want("0/response/0", "ask", args), value)])
    second = asyncio.create_task(rig.perform("ask", asked(60, "run 8"), call="d"))
    await wait_until(lambda: len(rig.bus.data.members["holds"]) == 2)
    second.cancel()
    hold = await find_hold(rig.bus, "c:0/response/0")
    assert hold is not None
    assert (hold.decision, hold.by, hold.at > hold.since) == ("approve", "ann", True)
    assert await rig.perform("ask", asked(-1), call="e") == EXPIRED


async def test_an_approval_that_stands_answers_at_once_and_once(rig: Rig) -> None:
    """A new owner that asks the same again gets the same; the next call is asked about."""
    await stand(rig.bus, "run 7", "d1", Standing("modify", "ann", {"a": 1}), for_s=60)
    for _ in range(2):
        assert await rig.perform("ask", asked(60)) == {"decision": "modify", "by": "ann", "args": {"a": 1}}
    assert await rig.perform("ask", asked(), call="d") == EXPIRED
    assert [hold.call for hold in await all_holds(rig.bus)] == ["d"]


async def test_an_approval_of_the_same_question_answers_a_call_that_waits(rig: Rig) -> None:
    """It came too late for the call that had asked first."""
    waiting = asyncio.create_task(rig.perform("ask", asked(60)))
    await wait_until(lambda: rig.bus.data.members != {})
    await stand(rig.bus, "run 7", "d1", Standing("approve", "ann"), for_s=60)
    assert (await waiting)["by"] == "ann"


@pytest.mark.parametrize("gone", ["its client", "its edge"])
async def test_an_approval_that_nobody_got_is_taken_by_the_next(rig: Rig, gone: str) -> None:
    """As long as its call may still be delivered it is that call's."""
    want = Want("0/response/0", "ask", asked(60))
    await rig.asking.decided([("c", EDGE, want, {"decision": "approve", "by": "ann", "args": None})])
    second = asyncio.create_task(rig.perform("ask", asked(60), call="d"))
    await asyncio.wait({second}, timeout=0.1)
    assert not second.done()
    assert await standing_for(rig.bus, "run 7", "d1") is not None
    if gone == "its edge":
        await rig.bus.unbeat("edge", EDGE)
    else:
        await answer_given(rig.bus, "c", delivered=False)
    assert (await second)["by"] == "ann"


async def test_a_person_is_asked_where_another_delivery_takes_long(rig: Rig) -> None:
    """A call must not expire behind one that is still streaming without anybody having been asked."""
    rig.asking.patience_s = 0.0
    want = Want("0/response/0", "ask", asked(60))
    await rig.asking.decided([("c", EDGE, want, {"decision": "approve", "by": "ann", "args": None})])
    second = asyncio.create_task(rig.perform("ask", asked(60), call="d"))
    await wait_until(lambda: rig.bus.data.members != {})
    assert [hold.call for hold in await all_holds(rig.bus)] == ["d"]
    await answer_given(rig.bus, "c", delivered=False)
    assert (await second)["by"] == "ann"


async def test_an_approval_that_was_delivered_does_not_stand(rig: Rig) -> None:
    """Also where the first client had gone and another one got the answer, in any order."""
    want = Want("0/response/0", "ask", asked(60))
    await rig.asking.decided([("c", EDGE, want, {"decision": "approve", "by": "ann", "args": None})])
    await answer_given(rig.bus, "c", delivered=True)
    await answer_given(rig.bus, "c", delivered=False)
    assert await rig.perform("ask", asked(), call="d") == EXPIRED


async def test_an_approval_without_a_session_stands_for_nobody(rig: Rig) -> None:
    """Nobody could tell whose next call it is."""
    args = asked(60, session="")
    await rig.asking.decided(
        [("c", EDGE, Want("0/response/0", "ask", args), {"decision": "approve", "by": "ann", "args": None})]
    )
    await answer_given(rig.bus, "c", delivered=False)
    assert await rig.perform("ask", asked(0.1, session=""), call="d") == EXPIRED


async def test_a_session_is_read_as_the_log_has_it(rig: Rig) -> None:
    """For each policy that is named."""
    owner = await rig.bus.acquire(keys.partition(STAGE, 0), "w", lease_ms=60_000)
    assert owner is not None
    folds = [Folded("run 7", "p", 1), Folded("run 7", "p", 2, 1, "s")]
    await rig.bus.settle(keys.partition(STAGE, 0), Settlement(owner.owner, 1, START, folds=folds))
    assert await rig.perform("session", {"session": "run 7", "names": ["p", "q"]}) == {
        "p": {"base": 1, "state": "s", "deltas": [2]},
        "q": {"base": 0, "state": None, "deltas": []},
    }


async def test_what_a_policy_keeps_is_done_once(rig: Rig) -> None:
    """A takeover that does it again changes nothing and gets the same."""
    add = {"op": "add", "name": "p/n", "amount": 3}
    assert [await rig.perform("kv", add), await rig.perform("kv", add)] == [3, 3]
    assert await rig.perform("kv", add, key="0/response/1") == 6
    assert await rig.perform("kv", {"op": "set", "name": "p/x", "value": [1], "ttl_s": 60}, key="0/response/2") is None
    assert await rig.perform("kv", {"op": "get", "name": "p/x"}) == [1]
    failed = await rig.perform("kv", {"op": "add", "name": "p/x", "amount": 1}, key="0/response/3")
    assert failed["error"] == "no_number"
    with pytest.raises(ValueError, match="64 KiB"):
        await rig.perform("kv", {"op": "set", "name": "p/x", "value": "x" * 70_000}, key="0/response/4")


async def test_a_sample_is_waited_for_until_its_deadline(rig: Rig) -> None:
    """The answer itself comes over the log."""
    late = await rig.perform("sample", {"deadline": CLOCK.now_us() + 50_000})
    assert late["error"] == "timeout"


def test_a_hold_is_named_by_its_call_and_key() -> None:
    """One call may ask several times."""
    assert Hold("c", "0/response/1", STAGE, 0, 1).id == "c:0/response/1"
