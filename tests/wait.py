"""Waiting for a condition instead of a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def wait_until(predicate: Callable[[], bool | Awaitable[bool]], timeout: float = 10) -> None:
    """Return as soon as `predicate` (plain or async) is true. Raises `AssertionError` after `timeout` seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while True:
        result = predicate()
        if result if isinstance(result, bool) else await result:
            return
        assert loop.time() < deadline, f"not true within {timeout} s: {predicate}"
        await asyncio.sleep(0.005)
