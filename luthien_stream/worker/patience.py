"""Repeating commands that may be repeated, until the bus answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from luthien_stream.errors import BodyMissing, BusError, Fenced
from luthien_stream.worker.clock import Clock

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
T = TypeVar("T")


async def sure(clock: Clock, command: Callable[[], Awaitable[T]]) -> T:
    """Return the answer of a command that does no harm when it is executed twice."""
    pause = FIRST_PAUSE_S
    while True:
        try:
            return await command()
        except (Fenced, BodyMissing):
            raise
        except BusError:
            await clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
