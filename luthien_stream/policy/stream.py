"""What a policy reads its answer from: an async iterator that hands a token to whoever steps the policy."""

from __future__ import annotations

import types
from collections.abc import Awaitable, Generator
from typing import Final

from luthien_stream.events.answer import Event, Text, Thinking, ToolCall
from luthien_stream.policy.errors import HoldTooLarge

HOLD_LIMIT: Final = 8 * 1024 * 1024
"""Bytes that one policy may hold back."""


class _Token:
    """Stands for "the next event, please"."""


NEXT: Final = _Token()


@types.coroutine
def _next_event() -> Generator[_Token, Event, Event]:
    return (yield NEXT)


class Events:
    """The events of one answer, in order, `End` last; only the kinds that the policy `sees`."""

    __slots__ = ()

    def __aiter__(self) -> Events:
        return self

    def __anext__(self) -> Awaitable[Event]:
        return _next_event()

    async def collect(self, limit: int = HOLD_LIMIT) -> list[Event]:
        """Return all that is still to come. Raises `HoldTooLarge` over `limit` bytes."""
        events: list[Event] = []
        size = 0
        async for event in self:
            events.append(event)
            size += size_of(event)
            if size > limit:
                raise HoldTooLarge(f"A policy collected more than {limit} bytes of an answer")
        return events


def size_of(event: Event) -> int:
    """Bytes that a held event keeps in memory, roughly: its frames, or its text where it has none."""
    src = event.src
    if isinstance(src, bytes):
        return len(src)
    if src is not None:
        return sum(map(len, src.frames)) if event.pos == 0 else 0
    match event:
        case Text() | Thinking():
            return len(event.text)
        case ToolCall():
            return len(event.arguments)
        case _:
            return 0
