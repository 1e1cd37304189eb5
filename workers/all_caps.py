"""Write all text in capitals. Tool calls and thinking stay as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator

from luthien_stream.policy import Context, Event, Events, Policy, Text


class AllCaps(Policy):
    """Capitals."""

    sees = frozenset({Text})

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Put out each text in capitals."""
        async for event in events:
            yield event.with_text(event.text.upper()) if isinstance(event, Text) else event
