"""What a memory bus keeps beside streams and partitions: bodies, values, heartbeats, dead letters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from luthien_stream.bus.ids import order, text
from luthien_stream.bus.limits import DEAD_LETTERS_KEPT
from luthien_stream.bus.memory.data import Beat, Body, Data
from luthien_stream.bus.port import START
from luthien_stream.errors import BodyMissing


class Kept(ABC):
    """The part of the port that is about these; its methods are described there."""

    data: Data

    @abstractmethod
    def now_ms(self) -> int:
        """The server's time, milliseconds since 1970."""

    @abstractmethod
    def _refuse_if_full(self) -> None:
        """Raise `BusFull` if nothing more may be written."""

    async def put_body(self, ref: str, body: bytes, *, ttl_ms: int) -> None:
        self._refuse_if_full()
        stored, expires = self.data.bodies.get(ref), self.now_ms() + ttl_ms
        self.data.bodies[ref] = Body(body, max(expires, stored.expires if stored else 0))

    async def get_body(self, ref: str) -> bytes:
        stored = self.data.bodies.get(ref)
        if stored is None or stored.expires <= self.now_ms():
            raise BodyMissing(ref=ref)
        return stored.body

    async def touch_bodies(self, refs: Sequence[str], *, ttl_ms: int) -> None:
        for ref in refs:
            if ref in self.data.bodies:
                stored = self.data.bodies[ref]
                stored.expires = max(stored.expires, self.now_ms() + ttl_ms)

    async def put_values(self, values: Mapping[str, bytes], *, ttl_ms: int) -> None:
        self._refuse_if_full()
        expires = self.now_ms() + ttl_ms
        self.data.values.update({name: Body(value, expires) for name, value in values.items()})

    async def claim_value(self, name: str, value: bytes, *, ttl_ms: int) -> bytes:
        kept = await self.get_value(name)
        if kept is None:
            await self.put_values({name: value}, ttl_ms=ttl_ms)
        return value if kept is None else kept

    async def get_value(self, name: str) -> bytes | None:
        stored = self.data.values.get(name)
        return None if stored is None or stored.expires <= self.now_ms() else stored.body

    async def drop_value(self, name: str) -> None:
        self.data.values.pop(name, None)

    async def beat(self, role: str, name: str, facts: Mapping[str, str], *, ttl_ms: int) -> None:
        self.data.beats[role, name] = Beat(dict(facts), self.now_ms() + ttl_ms)

    async def unbeat(self, role: str, name: str) -> None:
        self.data.beats.pop((role, name), None)

    async def alive(self, role: str) -> dict[str, dict[str, str]]:
        self.data.expire(self.now_ms())
        return {name: dict(beat.facts) for (of, name), beat in self.data.beats.items() if of == role}

    async def dead_letter(self, record: Mapping[str, bytes]) -> str:
        last = self.data.dead_last
        self.data.dead_last = max((self.now_ms(), 0), (last[0], last[1] + 1))
        self.data.dead[text(self.data.dead_last)] = dict(record)
        if len(self.data.dead) > DEAD_LETTERS_KEPT:
            del self.data.dead[next(iter(self.data.dead))]
        return text(self.data.dead_last)

    async def dead_letters(self, *, after: str = START, count: int = 100) -> list[tuple[str, dict[str, bytes]]]:
        later = [(id, dict(record)) for id, record in self.data.dead.items() if order(id) > order(after)]
        return later[:count]

    async def drop_dead_letter(self, id: str) -> None:
        self.data.dead.pop(id, None)
