"""Sugar for policies that only score: `@monitor`, and `Monitor` for those with configuration.

A monitor runs beside the call, in the shadow stage: it reads the finished answer and changes nothing. What cannot be
scored is on record as unscored, never as 0.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import ClassVar, Literal

import msgspec

from luthien_stream.events.answer import Event, Kinds, Text, ToolCall
from luthien_stream.policy.api import Policy
from luthien_stream.policy.context import Context
from luthien_stream.policy.effects import AT_ONCE
from luthien_stream.policy.errors import EffectFailed, HoldTooLarge
from luthien_stream.policy.stream import HOLD_LIMIT, Events, size_of
from luthien_stream.policy.turns import Turn
from luthien_stream.policy.verdicts import Score

Scored = Score | float | None
Scoring = Callable[[Turn, Context], Awaitable[Scored]]
Every = Literal["turn", "tool_call"]


class Monitor(Policy):
    """A policy that scores each turn, or each tool call on its own, when the answer is over."""

    beside: ClassVar[bool] = True
    sees: ClassVar[Kinds] = frozenset({Text, ToolCall})
    every: ClassVar[Every] = "turn"

    async def score(self, turn: Turn, ctx: Context) -> Scored:
        """Return how suspicious the turn is, 0 to 1; None where that cannot be said.

        With `every = "tool_call"` it is called for each tool call, which is the turn's only one then.
        """
        raise NotImplementedError

    def is_scored(self, turn: Turn) -> bool:
        """False for a turn that there is nothing to say about."""
        return True

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Pass everything as it comes; then score it."""
        came: list[Text | ToolCall] = []
        size = 0
        async for event in events:
            if isinstance(event, Text | ToolCall):
                came.append(event)
                size += size_of(event)
                if size > HOLD_LIMIT:
                    raise HoldTooLarge(f"watches an answer of more than {HOLD_LIMIT} bytes")
            yield event
        turns = list(self._turns(came, ctx))
        for at in range(0, len(turns), AT_ONCE):
            some = turns[at : at + AT_ONCE]
            for turn, scored in zip(some, await ctx.gather(*(self._scored(turn, ctx) for turn in some)), strict=True):
                about = turn.tool_calls[0].id if self.every == "tool_call" else ""
                ctx.verdict("score", scored[1], score=scored[0], about=about)

    def _turns(self, came: Sequence[Text | ToolCall], ctx: Context) -> Iterator[Turn]:
        asked = ctx.turns[-1] if ctx.turns else Turn()
        turn = asked.answered([e for e in came if isinstance(e, Text) or ctx.concerns(e.name)])
        single = [msgspec.structs.replace(turn, tool_calls=(call,)) for call in turn.tool_calls]
        yield from filter(self.is_scored, [turn] if self.every == "turn" else single)

    async def _scored(self, turn: Turn, ctx: Context) -> tuple[float | None, str]:
        try:
            scored = await self.score(turn, ctx)
        except EffectFailed as error:
            return None, f"unscored: {error}"
        match scored:
            case None:
                return None, "unscored"
            case Score():
                return scored.score, scored.reason
            case int() | float() if 0 <= scored <= 1:
                return float(scored), ""
        raise ValueError(f"score returned {scored!r}; return a number from 0 to 1, a Score, or None")


def monitor(every: Every = "turn") -> Callable[[Scoring], Monitor]:
    """Make a monitor of a function that scores a turn, or (`every="tool_call"`) a turn with one of its tool calls."""

    def make(scoring: Scoring) -> Monitor:
        async def method(self: Monitor, turn: Turn, ctx: Context) -> Scored:
            return await scoring(turn, ctx)

        namespace = {"every": every, "score": method, "__doc__": scoring.__doc__}
        made = msgspec.defstruct(scoring.__name__, [], bases=(Monitor,), namespace=namespace, module=scoring.__module__)
        return made()  # type: ignore[return-value]

    return make
