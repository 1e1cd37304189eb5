"""What outlives a call: sessions as folds, values that policies keep, what may be taken once, groups of names."""

from __future__ import annotations

import pytest

from luthien_stream.bus import keys
from luthien_stream.bus.port import START, Bus, Fold, Settlement
from luthien_stream.core.program import Folded
from luthien_stream.errors import NoNumber
from tests.contract.conftest import Backend, take
from tests.wait import wait_until

P = keys.partition("main@ab12cd34", 1)
HOUR_MS = 3_600_000


async def fold(bus: Bus, owner: str, turn: int, *folds: Folded) -> str:
    """Settle a turn that ends a call."""
    settled = await bus.settle(P, Settlement(owner, turn, START, folds=folds, closed=[f"call {turn}"]))
    return settled.outcome


async def test_a_session_is_the_sum_of_its_calls(backend: Backend) -> None:
    """Deltas come in the order of their settlements; what a call has seen is kept as the state that it made of it."""
    bus = backend.bus
    owner = (await take(bus, P)).owner
    assert await bus.folds("s", ["p", "q"]) == {"p": Fold(), "q": Fold()}
    assert await fold(bus, owner, 1, Folded("s", "p", {"cost": 1}, 0, None), Folded("s", "q", "x", 0, None)) == "ok"
    assert await fold(bus, owner, 2, Folded("s", "p", {"cost": 2}, 0, None)) == "ok"
    kept = Fold(0, None, [{"cost": 1}, {"cost": 2}])
    assert await backend.other.folds("s", ["p", "q"]) == {"p": kept, "q": Fold(0, None, ["x"])}
    assert await fold(bus, owner, 3, Folded("s", "p", {"cost": 4}, seen=2, state=[3])) == "ok"
    assert await bus.folds("s", ["p"]) == {"p": Fold(2, [3], [{"cost": 4}])}
    assert await bus.folds("other", ["p"]) == {"p": Fold()}


async def test_a_call_that_has_seen_less_than_another_undoes_nothing(bus: Bus) -> None:
    """Two calls of a session that ran side by side: the one that settles last has the older state."""
    owner = (await take(bus, P)).owner
    for turn in (1, 2):
        await fold(bus, owner, turn, Folded("s", "p", turn, 0, None))
    await fold(bus, owner, 3, Folded("s", "p", 3, seen=2, state="1+2"))
    await fold(bus, owner, 4, Folded("s", "p", 4, seen=1, state="1"))
    assert await bus.folds("s", ["p"]) == {"p": Fold(2, "1+2", [3, 4])}
    await fold(bus, owner, 5, Folded("s", "p", 5, seen=9, state="of a log that is lost"))
    assert await bus.folds("s", ["p"]) == {"p": Fold(2, "1+2", [3, 4, 5])}


async def test_a_turn_that_is_repeated_or_fenced_adds_nothing(bus: Bus) -> None:
    """A delta counts once, with the terminal event that it came with, or not at all."""
    owner = (await take(bus, P)).owner
    outcomes = [await fold(bus, owner, 1, Folded("s", "p", 1, 0, None)) for _ in range(2)]
    outcomes.append(await fold(bus, "9:stale", 2, Folded("s", "p", 2, 0, None)))
    assert outcomes == ["ok", "dup", "fenced"]
    assert await bus.folds("s", ["p"]) == {"p": Fold(0, None, [1])}


@pytest.mark.parametrize("value", [0, -7, 2**63 - 1, 2**64 - 1, 1.5, True, "12", b"\x00m", None, [1, {"a": None}]])
async def test_a_policy_gets_back_what_it_kept(backend: Backend, value: object) -> None:
    """Any plain value, as the type that it was."""
    assert await backend.bus.recall("p/x") is None
    await backend.bus.remember("p/x", value, once="c/1", ttl_ms=HOUR_MS)
    kept = await backend.other.recall("p/x")
    assert (type(kept), kept) == (type(value), value)


async def test_what_is_kept_is_kept_once(bus: Bus) -> None:
    """A command that is repeated after a takeover does not undo what another call has done since."""
    await bus.remember("p/x", "first", once="c/1", ttl_ms=HOUR_MS)
    await bus.remember("p/x", "second", once="d/1", ttl_ms=HOUR_MS)
    await bus.remember("p/x", "first", once="c/1", ttl_ms=HOUR_MS)
    assert await bus.recall("p/x") == "second"


async def test_counting_counts_once(bus: Bus) -> None:
    """A repeated addition gives what the first one gave."""
    assert await bus.count("p/n", 2, once="c/1", ttl_ms=HOUR_MS) == 2
    assert await bus.count("p/n", -5, once="c/2", ttl_ms=HOUR_MS) == -3
    assert await bus.count("p/n", 2, once="c/1", ttl_ms=HOUR_MS) == 2
    assert await bus.recall("p/n") == -3
    await bus.remember("p/n", 2**53, once="c/3", ttl_ms=HOUR_MS)
    assert await bus.count("p/n", 1, once="c/4", ttl_ms=HOUR_MS) == 2**53 + 1
    await bus.remember("p/n", "text", once="c/5", ttl_ms=HOUR_MS)
    with pytest.raises(NoNumber):
        await bus.count("p/n", 1, once="c/6", ttl_ms=HOUR_MS)


async def test_what_policies_keep_has_an_end(bus: Bus) -> None:
    """A counter ends with its first time to live, so that it is a window."""
    await bus.remember("p/x", "gone", once="c/1", ttl_ms=1)
    await bus.count("p/n", 1, once="c/2", ttl_ms=1)

    async def gone() -> bool:
        return await bus.recall("p/x") is None and await bus.recall("p/n") is None

    await wait_until(gone)
    assert await bus.count("p/n", 1, once="c/3", ttl_ms=HOUR_MS) == 1


async def test_a_value_is_taken_once(backend: Backend) -> None:
    """Of two that want it one gets it, as often as it asks."""
    bus, other = backend.bus, backend.other
    assert await bus.take_value("standing", once="c/1") is None
    await bus.put_values({"standing": b"yes"}, ttl_ms=HOUR_MS)
    assert await bus.take_value("standing", once="c/1") == b"yes"
    assert await other.take_value("standing", once="d/1") is None
    assert await other.take_value("standing", once="c/1") == b"yes"
    assert await bus.get_value("standing") is None


async def test_a_group_knows_its_names_for_a_while(backend: Backend) -> None:
    """In the order of their ends; naming one again prolongs it."""
    bus = backend.bus
    await bus.enlist("holds", "a", ttl_ms=HOUR_MS)
    await bus.enlist("holds", "b", ttl_ms=HOUR_MS // 2)
    await bus.enlist("holds", "c", ttl_ms=-1000)
    assert await backend.other.enlisted("holds") == ["b", "a"]
    await bus.enlist("holds", "b", ttl_ms=2 * HOUR_MS)
    assert await bus.enlisted("holds") == ["a", "b"]
    assert await bus.enlisted("others") == []
