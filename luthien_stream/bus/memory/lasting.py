"""The part of a memory bus that is about what outlives a call: sessions, values of policies, names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from luthien_stream.bus import keys
from luthien_stream.bus.limits import FOLD_TTL_MS, ONCE_KEPT_MS
from luthien_stream.bus.memory.data import Body, Data, Session
from luthien_stream.bus.port import Fold
from luthien_stream.core.program import Folded
from luthien_stream.errors import NoNumber


class Lasting(ABC):
    """The methods of the port are described there."""

    data: Data

    @abstractmethod
    def now_ms(self) -> int:
        """The server's time, milliseconds since 1970."""

    @abstractmethod
    def _refuse_if_full(self) -> None:
        """Raise `BusFull` if nothing more may be written."""

    async def folds(self, session: str, names: Sequence[str]) -> dict[str, Fold]:
        return {name: self._fold(keys.fold(session, name)) for name in names}

    async def recall(self, name: str) -> Any:
        raw = self._find(keys.kept(name))
        return None if raw is None else msgspec.msgpack.decode(raw)

    async def remember(self, name: str, value: Any, *, once: str, ttl_ms: int) -> None:
        self._refuse_if_full()
        if self._find(keys.once(once)) is None:
            self._put(keys.kept(name), msgspec.msgpack.encode(value), ttl_ms)
            self._put(keys.once(once), b"1", ONCE_KEPT_MS)

    async def count(self, name: str, amount: int, *, once: str, ttl_ms: int) -> int:
        self._refuse_if_full()
        counted = self._find(keys.once(once))
        if counted is not None:
            return int(counted)
        before = await self.recall(name)
        if before is not None and type(before) is not int:
            raise NoNumber
        total = (before or 0) + amount
        if before is None:
            self._put(keys.kept(name), b"", ttl_ms)
        self.data.values[keys.kept(name)].body = msgspec.msgpack.encode(total)
        self._put(keys.once(once), b"%d" % total, ONCE_KEPT_MS)
        return total

    async def take_value(self, name: str, *, once: str) -> bytes | None:
        taken = self._find(keys.once(once))
        if taken is not None:
            return taken
        value = self._find(name)
        if value is not None:
            self._refuse_if_full()
            self._put(keys.once(once), value, ONCE_KEPT_MS)
            del self.data.values[name]
        return value

    async def enlist(self, group: str, name: str, *, ttl_ms: int) -> None:
        self._refuse_if_full()
        await self.enlisted(group)
        self.data.members.setdefault(group, {})[name] = self.now_ms() + ttl_ms

    async def enlisted(self, group: str) -> list[str]:
        now = self.now_ms()
        left = {name: end for name, end in self.data.members.get(group, {}).items() if end >= now}
        self.data.members[group] = left
        return sorted(left, key=lambda name: (left[name], name))

    def _add_folds(self, folds: Iterable[Folded]) -> None:
        """Add what calls that end have to say of their sessions."""
        now = self.now_ms()
        for folded in folds:
            key = keys.fold(folded.session, folded.name)
            kept = self.data.sessions.get(key)
            if kept is None or kept.expires <= now:
                kept = self.data.sessions[key] = Session()
            kept.add(msgspec.msgpack.encode(folded.delta), folded.seen, msgspec.msgpack.encode(folded.state))
            kept.expires = now + FOLD_TTL_MS

    def _fold(self, key: str) -> Fold:
        kept = self.data.sessions.get(key)
        if kept is None or kept.expires <= self.now_ms():
            return Fold()
        unpack = msgspec.msgpack.decode
        return Fold(kept.base, unpack(kept.state) if kept.state else None, [unpack(raw) for raw in kept.deltas])

    def _find(self, name: str) -> bytes | None:
        kept = self.data.values.get(name)
        return None if kept is None or kept.expires <= self.now_ms() else kept.body

    def _put(self, name: str, raw: bytes, ttl_ms: int) -> None:
        self.data.values[name] = Body(raw, self.now_ms() + ttl_ms)
