"""Partitions: one owner at a time, turns written whole and once, takeover with everything that is needed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import structs

from luthien_stream.bus import keys
from luthien_stream.bus.ids import following, order
from luthien_stream.bus.port import START, Acquired, Bus, Open, Settlement
from tests.contract.conftest import Backend, take
from tests.wait import wait_until

P = keys.partition("main@ab12cd34", 3)
IN = keys.partition_stream(P)
INBOX = keys.inbox("e1")
HOUR_MS = 3_600_000


def opened(first: str, released: int = 0) -> Open:
    """An open call."""
    return Open(first=first, released=released, digest=3_000_000_000, edge="e1", deadline=1_800_000_000_000_000)


async def raws(bus: Bus, stream: str) -> list[bytes]:
    """What a stream holds."""
    return [entry.raw for entry in await bus.range(stream, START)]


async def take_over(bus: Bus, worker: str = "w2") -> Acquired:
    """Acquire once the lease has run out, and a young server's quiet time is over."""
    taken: list[Acquired] = []

    async def got() -> bool:
        acquired = await bus.acquire(P, worker, lease_ms=100)
        taken.extend([acquired] if acquired else [])
        return acquired is not None

    await wait_until(got)
    return taken[0]


async def test_a_fresh_partition(bus: Bus) -> None:
    """The first owner starts from nothing."""
    acquired = await take(bus, P)
    assert structs.replace(acquired, owner="", run_id="") == Acquired("", START, START, {}, {}, {}, 0, "", "")
    assert await bus.lease_holder(P) == "w1"
    assert await bus.state(P) == (acquired.owner, 0)


async def test_a_turn_writes_everything(bus: Bus) -> None:
    """Effects go to the partition, outputs to their streams in order, calls are kept for the next owner."""
    acquired = await take(bus, P)
    first = await bus.append(IN, b"request")
    settlement = Settlement(
        acquired.owner,
        1,
        first,
        effects=b"effect",
        outputs=[(INBOX, b"1"), ("ls:{e2}:inbox", b"2"), (INBOX, b"3")],
        open={"a": opened(first, 2), "b": opened(first)},
        closed=["c"],
    )
    assert (await bus.settle(P, settlement)).outcome == "ok"
    assert await raws(bus, IN) == [b"request", b"effect"]
    assert await raws(bus, INBOX) == [b"1", b"3"]
    assert await raws(bus, "ls:{e2}:inbox") == [b"2"]
    assert await bus.open_calls(P) == {"a": opened(first, 2), "b": opened(first)}
    await bus.release(P, acquired.owner)
    after = await take(bus, P, "w2")
    assert (after.cursor, after.tail) == (first, await bus.last_id(IN))
    assert (after.open, list(after.closed)) == ({"a": opened(first, 2), "b": opened(first)}, ["c"])
    assert after.owner != acquired.owner


async def test_turns_are_written_once_and_in_order(bus: Bus) -> None:
    """A repeated or late turn is DUP, a skipped one GAP with the last turn known, and neither writes anything."""
    owner = (await take(bus, P)).owner

    async def settle(turn: int) -> tuple[str, int]:
        settled = await bus.settle(P, Settlement(owner, turn, START, outputs=[(INBOX, b"%d" % turn)]))
        return settled.outcome, settled.turn

    assert [(await settle(turn))[0] for turn in (1, 2)] == ["ok", "ok"]
    assert [await settle(turn) for turn in (2, 1, 4)] == [("dup", 2), ("dup", 2), ("gap", 2)]
    assert await raws(bus, INBOX) == [b"1", b"2"]
    assert await bus.state(P) == (owner, 2)


async def test_a_turn_settles_and_reads_on(bus: Bus) -> None:
    """One call writes the turn and waits for what comes next; the owner's own effects come back to it as well."""
    owner = (await take(bus, P)).owner
    async with bus.reader() as reader:
        settlement = Settlement(owner, 1, START, effects=b"effect", outputs=[(INBOX, b"out")])
        settled, entries = await reader.turn(P, settlement, START)
        assert (settled.outcome, [entry.raw for entry in entries]) == ("ok", [b"effect"])
        waiting = asyncio.create_task(reader.turn(P, Settlement(owner, 2, entries[0].id), entries[0].id, block_ms=5000))
        await asyncio.sleep(0.02)
        await bus.append(IN, b"next")
        settled, entries = await waiting
        assert (settled.outcome, [entry.raw for entry in entries]) == ("ok", [b"next"])
        settled, entries = await reader.turn(P, Settlement(owner, 3, START), entries[0].id, block_ms=10)
        assert (settled.outcome, entries) == ("ok", [])


async def test_a_stale_owner_is_fenced_and_takes_nothing_away(backend: Backend) -> None:
    """An owner that slept through its lease cannot write, and the new owner has every entry all the same."""
    slow, fast = backend.bus, backend.other
    stale = await take(slow, P, "w1", lease_ms=30)
    fresh = await take_over(fast)
    async with slow.reader() as sleeper, fast.reader() as reader:
        turn = Settlement(stale.owner, 1, START, effects=b"x", outputs=[(INBOX, b"x")], open={"a": opened(START)})
        blocked = asyncio.create_task(sleeper.turn(P, turn, START, block_ms=5000))
        await asyncio.sleep(0.02)
        await fast.append(IN, b"1")
        settled, seen = await blocked
        assert (settled.outcome, [entry.raw for entry in seen]) == ("fenced", [b"1"])
        await fast.append(IN, b"2")
        entries = await reader.read({IN: fresh.cursor})
    assert [entry.raw for entry in entries] == [b"1", b"2"]
    assert (await raws(fast, INBOX), await fast.open_calls(P)) == ([], {})
    assert not await slow.renew(P, stale.owner, "w1", lease_ms=1000)
    assert not await slow.spill(P, stale.owner, "a", [("1-0", b"x")], "2-0", ttl_ms=1000)
    assert await slow.trim(P, stale.owner, max_age_ms=0) == 0
    await slow.suspect(P, stale.owner, "wrong")
    await slow.release(P, stale.owner)
    assert await fast.lease_holder(P) == "w2"


async def test_processes_race_for_a_lease(backend: Backend) -> None:
    """Of many that try at once one wins, and owners are never the same twice."""
    owners = []
    for _ in range(5):
        buses = [backend.bus, backend.other] * 4
        got = await asyncio.gather(*(bus.acquire(P, f"w{n}", lease_ms=60_000) for n, bus in enumerate(buses)))
        (winner,) = [acquired for acquired in got if acquired is not None]
        owners.append(winner.owner)
        await backend.bus.release(P, winner.owner)
        assert await backend.bus.lease_holder(P) == ""
    assert len(set(owners)) == 5


async def test_an_expired_lease_that_nobody_took_is_kept(bus: Bus) -> None:
    """Renewing prolongs the lease, also one that ran out meanwhile, without a new owner value."""
    acquired = await take(bus, P, lease_ms=20)

    async def expired() -> bool:
        return await bus.lease_holder(P) == ""

    await wait_until(expired)
    assert await bus.renew(P, acquired.owner, "w1", lease_ms=60_000)
    assert await bus.acquire(P, "w2", lease_ms=100) is None
    assert (await bus.settle(P, Settlement(acquired.owner, 1, START))).outcome == "ok"


async def test_a_released_partition_has_no_owner(bus: Bus) -> None:
    """After a release late turns are fenced, a late renewal takes nothing back, and it does not count as a crash."""
    acquired = await take(bus, P)
    await bus.release(P, acquired.owner)
    assert (await bus.settle(P, Settlement(acquired.owner, 1, START))).outcome == "fenced"
    assert not await bus.renew(P, acquired.owner, "w1", lease_ms=1000)
    assert (await take(bus, P, "w2")).crashes == 0


async def test_crashes_are_counted_until_something_moves(bus: Bus) -> None:
    """Each owner that dies without progress counts, until a settle moves the cursor or closes a call."""

    async def crashes() -> int:
        return (await take(bus, P, "w")).crashes

    async def settle(cursor: str, **parts: Any) -> None:
        owner, turn = await bus.state(P)
        assert (await bus.settle(P, Settlement(owner, turn + 1, cursor, **parts))).outcome == "ok"

    assert [await crashes() for _ in range(3)] == [0, 1, 2]
    await settle(START, open={"a": opened("1-0")}, outputs=[(INBOX, b"x")])
    assert await crashes() == 3
    await settle("1-0")
    assert [await crashes() for _ in range(2)] == [0, 1]
    await settle("1-0", closed=["a"])
    assert await crashes() == 0


async def test_the_suspect_outlives_its_owner(bus: Bus) -> None:
    """What an owner was running when it died is told to the next one, until somebody clears it."""
    acquired = await take(bus, P, "w")
    await bus.suspect(P, acquired.owner, "call-a 17-0")
    second = await take(bus, P, "w")
    assert (second.suspect, second.crashes) == ("call-a 17-0", 1)
    await bus.suspect(P, second.owner, "")
    assert (await take(bus, P, "w")).suspect == ""


async def test_last_words(bus: Bus) -> None:
    """A thread of a dying process names the suspect and frees the lease; the owner can write no more."""
    acquired = await take(bus, P)
    dying = threading.Thread(target=bus.last_words, args=(P, acquired.owner, "call-a 17-0"))
    dying.start()
    await asyncio.to_thread(dying.join)
    assert await bus.lease_holder(P) == ""
    assert (await bus.settle(P, Settlement(acquired.owner, 1, START))).outcome == "fenced"
    assert not await bus.renew(P, acquired.owner, "w1", lease_ms=1000)
    after = await take_over(bus)
    assert (after.suspect, after.crashes) == ("call-a 17-0", 1)


async def test_a_closed_call_is_not_opened_again(bus: Bus) -> None:
    """A late copy of the first event finds the call among the closed ones."""
    acquired = await take(bus, P)
    for turn, settlement in enumerate(
        [
            Settlement(acquired.owner, 1, "1-0", open={"a": opened("1-0")}),
            Settlement(acquired.owner, 2, "2-0", closed=["a"]),
            Settlement(acquired.owner, 3, "3-0", open={"a": opened("3-0")}),
        ]
    ):
        assert (await bus.settle(P, settlement)).outcome == "ok", turn
    assert await bus.open_calls(P) == {}
    after = await take(bus, P)
    assert list(after.closed) == ["a"]
    assert after.closed["a"] > 1_700_000_000_000_000


async def spill_and_trim(bus: Bus, owner: str, call: str, ids: list[str]) -> int:
    """Spill what a call has in these entries, and trim."""
    packs = [(entry.id, entry.raw) for entry in await bus.range(IN, START) if entry.id in ids]
    assert await bus.spill(P, owner, call, packs, following(ids[-1]), ttl_ms=HOUR_MS)
    return await bus.trim(P, owner, max_age_ms=HOUR_MS)


async def test_a_call_is_spilled_as_often_as_it_takes(bus: Bus) -> None:
    """Three spills keep all of a held call, in order, while the stream is trimmed to what no call needs."""
    acquired = await take(bus, P, "w")
    ids = [await bus.append(IN, b"%d" % n) for n in range(6)]
    await bus.settle(P, Settlement(acquired.owner, 1, ids[-1], open={"held": opened(ids[0])}))
    assert await bus.trim(P, acquired.owner, max_age_ms=HOUR_MS) == 0
    trimmed = [await spill_and_trim(bus, acquired.owner, "held", pair) for pair in (ids[:2], ids[2:4], ids[4:])]
    assert trimmed == [2, 2, 1]  # the entry at the cursor stays
    late = Settlement(acquired.owner, 2, ids[-1], open={"held": opened(ids[0], 1)})
    assert (await bus.settle(P, late)).outcome == "ok"
    after = await take(bus, P, "w")
    assert after.spills == {"held": [(id, b"%d" % n) for n, id in enumerate(ids)]}
    assert after.open["held"] == opened(following(ids[-1]), 1)
    await bus.settle(P, Settlement(after.owner, 1, ids[-1], closed=["held"]))
    assert (await take(bus, P, "w")).spills == {}


async def test_spilling_a_call_that_has_closed_does_nothing(bus: Bus) -> None:
    """A spill that comes after the call's end leaves no list behind."""
    acquired = await take(bus, P, "w")
    await bus.settle(P, Settlement(acquired.owner, 1, START, closed=["a"]))
    assert await bus.spill(P, acquired.owner, "a", [("1-0", b"x")], "2-0", ttl_ms=HOUR_MS)
    assert (await take(bus, P, "w")).spills == {}


async def test_trimming_keeps_what_somebody_needs(bus: Bus) -> None:
    """The oldest open call, the cursor and unconfirmed entries bound the trim; age ends the wait for activity only.

    What is younger than it shall be kept stays, whoever needs it.
    """
    await bus.register_stream(IN, recorded=True)
    owner = (await take(bus, P)).owner
    ids = [await bus.append(IN, b"%d" % n) for n in range(6)]
    async with bus.reader() as reader:
        await reader.read_group([IN], "activity", count=5, block_ms=0)
    await bus.settle(P, Settlement(owner, 1, ids[4], open={"a": opened(ids[2]), "b": opened(ids[3])}))
    assert await bus.trim(P, owner, max_age_ms=HOUR_MS) == 0
    await bus.acknowledge(IN, ids[:2])
    assert await bus.trim(P, owner, max_age_ms=HOUR_MS) == 2
    await bus.acknowledge(IN, ids[2:5])
    assert await bus.trim(P, owner, max_age_ms=HOUR_MS) == 0
    await bus.settle(P, Settlement(owner, 2, ids[5], closed=["a"]))
    assert await bus.trim(P, owner, max_age_ms=HOUR_MS, min_age_ms=HOUR_MS) == 0
    assert await bus.trim(P, owner, max_age_ms=HOUR_MS) == 1
    await bus.settle(P, Settlement(owner, 3, ids[5], closed=["b"]))
    assert await bus.trim(P, owner, max_age_ms=-1000) == 2
    assert await raws(bus, IN) == [b"5"]


async def test_only_an_idle_partition_is_dropped(bus: Bus) -> None:
    """A lease, an open call, an unconfirmed or a fresh unread entry each keep a partition."""
    await bus.register_stream(IN, recorded=True)
    owner = (await take(bus, P)).owner
    id = await bus.append(IN, b"x")
    drops: list[Callable[[], Awaitable[object]]] = [
        lambda: bus.settle(P, Settlement(owner, 1, START, open={"a": opened(id)})),
        lambda: bus.settle(P, Settlement(owner, 2, START, closed=["a"])),
        lambda: bus.acknowledge(IN, [id]),
        lambda: bus.settle(P, Settlement(owner, 3, id)),
    ]
    async with bus.reader() as reader:
        await reader.read_group([IN], "activity", count=5, block_ms=0)
    for step in drops:
        assert not await bus.drop_partition(P)
        await step()
    await bus.release(P, owner)
    assert await bus.drop_partition(P)
    assert (await bus.streams(), await bus.last_id(IN)) == ([], START)
    assert (await take(bus, P)).cursor == START


async def test_cursors_are_ids_and_not_text(bus: Bus) -> None:
    """A shorter number is smaller: `first` moves on only by the order of ids."""
    acquired = await take(bus, P)
    settlement = Settlement(acquired.owner, 1, "1000-0", open={"a": opened("999-5")})
    await bus.settle(P, settlement)
    await bus.settle(P, Settlement(acquired.owner, 2, "1000-0", open={"a": opened("1000-2")}))
    await bus.settle(P, Settlement(acquired.owner, 3, "1000-0", open={"a": opened("999-10")}))
    assert (await bus.open_calls(P))["a"].first == "1000-2"
    assert order("999-10") > order("999-9")
