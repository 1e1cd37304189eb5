"""Sugar for policies that edit text: say which characters are safe and what to replace; the rest is done here.

A frame without an edit leaves as it came. What is not safe yet is held until more text or the end of its part comes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar, Literal

from luthien_stream.events.answer import ALL, End, Event, Kinds, PartEnd, Text, Thinking, ToolCall
from luthien_stream.policy.api import Hold, Policy
from luthien_stream.policy.context import Context
from luthien_stream.policy.stream import Events
from luthien_stream.policy.tail import Edit, Tail, rewrite


class TextPolicy(Policy):
    """A policy over text, wherever the provider cut it."""

    sees: ClassVar[Kinds] = frozenset({Text, PartEnd})
    hold: ClassVar[Hold] = "tail"
    others: ClassVar[Literal["pass", "drop", "map"]] = "pass"
    """What to do with other carriers of text. `map` edits tool arguments and unsigned thinking, and drops what cannot
    be edited: signed thinking, citations, server tools. `drop` drops all of them."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.others != "pass":
            cls.sees = ALL

    def edits(self, text: str, closed: bool) -> tuple[int, Sequence[Edit]]:
        """Return how many characters of `text` are decided, and the edits in order, without overlap.

        `text` is what has not left yet; more may follow unless `closed`. What has left is not shown again, so a
        decision may not depend on it.
        """
        raise NotImplementedError

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Release text as soon as it is decided."""
        tail = Tail(self.edits)
        async for event in events:
            if isinstance(event, Text) or (isinstance(event, Thinking) and self._maps(event)):
                for piece in tail.take(event):
                    yield piece
                continue
            for piece in tail.flush():
                yield piece
            kept = self._other(event)
            if kept is not None:
                yield kept
        for piece in tail.flush():
            yield piece

    def _maps(self, event: Thinking) -> bool:
        return self.others == "map" and not event.signed

    def _other(self, event: Event) -> Event | None:
        if self.others == "pass" or isinstance(event, PartEnd | End):
            return event
        if self.others == "map" and isinstance(event, ToolCall):
            return event.with_args(self._mapped(event.args))
        return None

    def _mapped(self, value: Any) -> Any:
        """Edit every string in `value`."""
        if isinstance(value, str):
            return rewrite(value, 0, self.edits(value, True)[1])
        if isinstance(value, list):
            return [self._mapped(one) for one in value]
        if isinstance(value, dict):
            return {self._mapped(key): self._mapped(one) for key, one in value.items()}
        return value
