"""Waiting that a stop ends."""

from __future__ import annotations

import asyncio
from contextlib import suppress


async def wait_for_stop(stop: asyncio.Event, seconds: float) -> None:
    """Wait, but not past the stop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
