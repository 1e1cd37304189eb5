"""Time, given to everything in the worker that needs it, so that tests own it."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What the worker knows of time."""

    def now_us(self) -> int:
        """Microseconds since 1970."""

    async def sleep(self, seconds: float) -> None:
        """Return after this long."""


class SystemClock:
    """The time of the machine."""

    def now_us(self) -> int:
        """Microseconds since 1970."""
        return time.time_ns() // 1000

    async def sleep(self, seconds: float) -> None:
        """Return after this long."""
        await asyncio.sleep(seconds)
