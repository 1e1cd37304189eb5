"""The policy of the measurement: it reads every piece of text and lets it pass."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

from luthien_stream.policy import Context, Event, Events, Kinds, Policy, Stop, Text


class ReadText(Policy):
    """Stops an answer that has the forbidden word; none has."""

    sees: ClassVar[Kinds] = frozenset({Text})
    word: str = "zebra crossing"

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Read each piece."""
        async for event in events:
            if isinstance(event, Text) and self.word in event.text:
                raise Stop(reason="the forbidden word")
            yield event
