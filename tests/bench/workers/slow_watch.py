"""A watcher of the measurement, a hundred times slower than what stands in the way of calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import perf_counter
from typing import ClassVar

from luthien_stream.policy import Context, Event, Events, Kinds, Policy, Text


class SlowWatch(Policy):
    """Burns two milliseconds over each piece of text."""

    sees: ClassVar[Kinds] = frozenset({Text})
    burn_s: float = 0.002

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Think hard about each piece."""
        async for event in events:
            until = perf_counter() + self.burn_s
            while perf_counter() < until:
                pass
            yield event
