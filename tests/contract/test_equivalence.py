"""The memory bus and a server, side by side: the same steps give the same answers and leave the same log behind."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luthien_stream.bus import connect, keys
from luthien_stream.bus.ids import following, order
from luthien_stream.bus.memory import MemoryBus
from luthien_stream.bus.port import START, Acquired, Bus, Open, Settlement
from luthien_stream.bus.redis.links import call_once

P = keys.partition("main@ab12cd34", 0)
IN = keys.partition_stream(P)
INBOX = keys.inbox("e1")
CALLS = ("a", "b", "c")
HOUR_MS = 3_600_000
small = st.integers(0, 6)
calls = st.frozensets(st.sampled_from(CALLS), max_size=2)
STEPS = st.one_of(
    st.tuples(st.just("append")),
    st.tuples(st.just("acquire"), st.sampled_from(["w1", "w1", "w2"])),
    st.tuples(st.just("settle"), st.sampled_from([1, 1, 1, 0, 2]), small, small, st.booleans(), calls, calls),
    st.tuples(st.just("spill"), st.sampled_from(CALLS), small),
    st.tuples(st.just("trim"), st.sampled_from([HOUR_MS, -1000])),
    st.tuples(st.just("give_up"), st.sampled_from(["release", "last_words", "renew", "suspect"])),
    st.tuples(st.just("confirm"), small),
    st.tuples(st.just("stale")),
)


class Player:
    """Plays steps on one bus. Ids differ between buses, so answers name entries by their place in the log."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.ids = [START]
        self.worker, self.owner, self.turn = "w1", "none", 0

    def place(self, id: str) -> float:
        """Where an id stands among all entries; half a step for the id after an entry."""
        return sum(order(each) <= order(id) for each in self.ids) - (0.5 if id not in self.ids else 0)

    async def play(self, step: tuple[Any, ...]) -> object:
        """Play one step and return what a caller can see of it."""
        answer = await getattr(self, step[0])(*step[1:])
        self.ids += [entry.id for entry in await self.bus.range(IN, self.ids[-1])]
        lag = await self.bus.lag(IN)
        opened = {call: self._readable(value) for call, value in (await self.bus.open_calls(P)).items()}
        logs = [[entry.raw for entry in await self.bus.range(stream, START)] for stream in (IN, INBOX)]
        return (
            answer,
            logs,
            opened,
            (await self.bus.state(P))[1],
            await self.bus.lease_holder(P),
            lag.entries,
            lag.pending,
        )

    async def append(self) -> None:
        await self.bus.append(IN, b"%d" % len(self.ids))

    async def acquire(self, worker: str) -> object:
        got = await self.bus.acquire(P, worker, lease_ms=HOUR_MS)
        if got is None:
            return None
        self.worker, self.owner, self.turn = worker, got.owner, 0
        return self._visible(got)

    async def settle(self, ahead: int, at: int, outputs: int, effect: bool, opens: Any, closes: Any) -> object:
        id = self.ids[-1 - at % len(self.ids)]
        settled = await self.bus.settle(
            P,
            Settlement(
                self.owner,
                self.turn + ahead,
                id,
                effects=b"effect" if effect else b"",
                outputs=[(INBOX, b"%d" % n) for n in range(outputs)],
                open={call: Open(id, at, at, "e1", at) for call in sorted(opens)},
                closed=sorted(closes),
            ),
        )
        self.turn += ahead if settled.outcome == "ok" else 0
        return settled

    async def spill(self, call: str, at: int) -> object:
        id = self.ids[-1 - at % len(self.ids)]
        return await self.bus.spill(P, self.owner, call, [(id, b"event")], following(id), ttl_ms=HOUR_MS)

    async def trim(self, max_age_ms: int) -> object:
        kept = await self.bus.trim(P, self.owner, max_age_ms=max_age_ms, min_age_ms=HOUR_MS)
        return kept, await self.bus.trim(P, self.owner, max_age_ms=max_age_ms)

    async def give_up(self, how: str) -> object:
        if how == "renew":
            return await self.bus.renew(P, self.owner, self.worker, lease_ms=HOUR_MS)
        if how == "last_words":
            self.bus.last_words(P, self.owner, "a 1-0")
        elif how == "release":
            await self.bus.release(P, self.owner)
        else:
            await self.bus.suspect(P, self.owner, "b 2-0")
        return None

    async def confirm(self, count: int) -> object:
        async with self.bus.reader() as reader:
            got = await reader.read_group([IN], "one", count=count + 1, block_ms=0)
        await self.bus.acknowledge(IN, [entry.id for entry in got[count // 2 :]])
        return [entry.raw for entry in got]

    async def stale(self) -> None:
        self.owner = "0:stale"

    def _readable(self, value: Open) -> object:
        return self.place(value.first), value.released, value.digest, value.edge, value.deadline

    def _visible(self, got: Acquired) -> object:
        spills = {call: [(self.place(id), raw) for id, raw in kept] for call, kept in got.spills.items()}
        opened = {call: self._readable(value) for call, value in got.open.items()}
        places = self.place(got.cursor), self.place(got.tail)
        return places, opened, sorted(got.closed), spills, got.crashes, got.suspect, got.owner.split(":")[0]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STEPS, max_size=40))
async def test_both_buses_answer_alike(valkey_url: str, steps: list[tuple[Any, ...]]) -> None:
    """Any steps of owners, producers and activity: after each one both buses look the same from outside."""
    call_once(valkey_url, "FLUSHALL")
    server = connect(valkey_url)
    try:
        players = Player(MemoryBus()), Player(server)
        for player in players:
            await player.bus.register_stream(IN, recorded=True)
        for step in steps:
            memory, real = [await player.play(step) for player in players]
            assert memory == real, step
    finally:
        await server.close()
