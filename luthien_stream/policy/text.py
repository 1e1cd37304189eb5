"""Sugar for policies that edit text: say which characters are safe and what to replace; the rest is done here.

A frame without an edit leaves as it came. What is not safe yet is held until more text or the end of its part comes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar, Literal

import msgspec

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
        """Release text as soon as it is decided; record at the end how many edits were made."""
        tail = Tail(self.edits)
        async for event in events:
            if isinstance(event, Text) or (isinstance(event, Thinking) and self._maps(event)):
                for piece in tail.take(event):
                    yield piece
                continue
            for piece in tail.flush():
                yield piece
            kept = self._other(event, tail)
            if kept is not None:
                yield kept
        for piece in tail.flush():
            yield piece
        if tail.made:
            ctx.verdict("rewrite", f"{tail.made} edits")

    def _maps(self, event: Thinking) -> bool:
        return self.others == "map" and not event.signed

    def _other(self, event: Event, tail: Tail) -> Event | None:
        if self.others == "pass" or isinstance(event, PartEnd | End):
            return event
        if self.others == "map" and isinstance(event, ToolCall):
            return self._call(event, tail)
        return None

    def _call(self, call: ToolCall, tail: Tail) -> ToolCall:
        """Edit every string in a call's arguments; what is no JSON is edited as it is."""
        try:
            args = call.args if call.kind != "custom" else None
        except msgspec.DecodeError:
            args = None
        if args is None:
            return call.with_args(self._mapped(call.arguments, tail))
        changed = self._mapped(args, tail)
        return call if changed == args else call.with_args(msgspec.json.encode(changed).decode())

    def _mapped(self, value: Any, tail: Tail) -> Any:
        if isinstance(value, str):
            edits = self.edits(value, True)[1]
            tail.made += len(edits)
            return rewrite(value, 0, edits)
        if isinstance(value, list):
            return [self._mapped(one, tail) for one in value]
        if isinstance(value, dict):
            return {self._mapped(key, tail): self._mapped(one, tail) for key, one in value.items()}
        return value
