"""Change nothing: every event is read and put out again, so every byte leaves as it came."""

from __future__ import annotations

from collections.abc import AsyncIterator

from luthien_stream.policy import Context, Event, Events, Policy


class Noop(Policy):
    """The identity."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Put out what came in."""
        async for event in events:
            yield event
