"""`ctx.kv`: what a policy keeps beyond calls and sessions, by name. Each use is an effect on record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from luthien_stream.policy.errors import EffectFailed

Use = Callable[[str, Any], Awaitable[Any]]


class Kv:
    """The values of one policy; others have their own. Raises `EffectFailed` where the store cannot be reached.

    Whoever wants to change what another call may change at the same time uses `add`.
    """

    __slots__ = ("_policy", "_use")

    def __init__(self, policy: str, use: Use) -> None:
        """`use` performs an effect of a kind, with its arguments."""
        self._policy, self._use = policy, use

    async def get(self, name: str) -> Any:
        """Return the value under a name, None if there is none."""
        found = await self._use("kv", self._asked("get", name))
        return found[0] if isinstance(found, list) else found

    async def set(self, name: str, value: Any, *, ttl_s: float | None = None) -> None:
        """Keep a plain value, at most `ttl_s` seconds. Of two calls the later one counts."""
        kept = [value] if isinstance(value, list | dict) else value  # a bare dict could pass for a failure
        await self._use("kv", {**self._asked("set", name), "value": kept, "ttl_s": ttl_s})

    async def add(self, name: str, amount: int = 1, *, ttl_s: float | None = None) -> int:
        """Add to a number, 0 where there is none; return the sum. `ttl_s` counts from the first addition."""
        total = await self._use("kv", {**self._asked("add", name), "amount": amount, "ttl_s": ttl_s})
        if type(total) is not int:
            raise EffectFailed(f"kv failed: the sum under {name!r} is no number", error="no_number")
        return total

    def _asked(self, op: str, name: str) -> dict[str, Any]:
        return {"op": op, "name": f"{self._policy}/{name}"}
