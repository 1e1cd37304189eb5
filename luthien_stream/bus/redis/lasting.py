"""The part of the port on a server that is about what outlives a call: sessions, values of policies, names."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from luthien_stream.bus import keys
from luthien_stream.bus.limits import ONCE_KEPT_MS
from luthien_stream.bus.port import Fold
from luthien_stream.bus.redis import replies
from luthien_stream.bus.redis.links import Reply
from luthien_stream.bus.redis.server import Server
from luthien_stream.errors import NoNumber

PACKED = b"m"
"""Before what a policy keeps, unless it is a whole number: those stand as the server can count them."""
_COUNTED = range(-(2**63), 2**63)


class Lasting:
    """The methods of the port are described there."""

    _server: Server

    async def folds(self, session: str, names: Sequence[str]) -> dict[str, Fold]:
        found = await self._server.call(*(("HGETALL", keys.fold(session, name)) for name in names))
        return {name: _fold(flat) for name, flat in zip(names, found, strict=True)}

    async def recall(self, name: str) -> Any:
        (raw,) = await self._server.call(("GET", keys.kept(name)))
        if raw is None or not raw.startswith(PACKED):
            return None if raw is None else int(raw)
        return msgspec.msgpack.decode(raw[1:])

    async def remember(self, name: str, value: Any, *, once: str, ttl_ms: int) -> None:
        counted = type(value) is int and value in _COUNTED
        raw = b"%d" % value if counted else PACKED + msgspec.msgpack.encode(value)
        await self._server.script("remember", (keys.kept(name), keys.once(once)), raw, ttl_ms, ONCE_KEPT_MS)

    async def count(self, name: str, amount: int, *, once: str, ttl_ms: int) -> int:
        names = (keys.kept(name), keys.once(once))
        counted = await self._server.script("count", names, amount, ttl_ms, ONCE_KEPT_MS)
        if counted is None:
            raise NoNumber
        return int(counted)

    async def take_value(self, name: str, *, once: str) -> bytes | None:
        names = (keys.value(name), keys.once(once))
        taken = await self._server.script("take_value", names, ONCE_KEPT_MS)
        return None if taken is None else bytes(taken)

    async def enlist(self, group: str, name: str, *, ttl_ms: int) -> None:
        key, now = keys.members(group), _now_ms()
        await self._server.call(
            ("ZADD", key, now + ttl_ms, name),
            ("ZREMRANGEBYSCORE", key, "-inf", now),
            ("PEXPIRE", key, ttl_ms, "NX"),
            ("PEXPIRE", key, ttl_ms, "GT"),
        )

    async def enlisted(self, group: str) -> list[str]:
        (names,) = await self._server.call(("ZRANGEBYSCORE", keys.members(group), _now_ms(), "+inf"))
        return [replies.words(name) for name in names]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _fold(flat: Reply) -> Fold:
    kept = {name.decode(): value for name, value in replies.pairs(flat)}
    base, last = int(kept.get("base", 0)), int(kept.get("next", 0))
    unpack = msgspec.msgpack.decode
    state = unpack(kept["state"]) if "state" in kept else None
    return Fold(base, state, [unpack(kept[f"d{n}"]) for n in range(base, last)])
