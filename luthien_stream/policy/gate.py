"""Sugar for policies that decide on tool calls: `@gate`, and `ToolGate` for those with configuration.

A gate holds from the first tool call to the end of the turn: what it shows must stand before the calls it keeps, and
no call may run while another of the same turn is undecided.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from fnmatch import fnmatchcase
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from luthien_stream.events.answer import Event, Text, ToolCall
from luthien_stream.policy.api import Hold, Policy, Stop
from luthien_stream.policy.context import Context
from luthien_stream.policy.stream import Events

BLOCKED = "A policy blocked this tool call."


class Allow(Struct, frozen=True):
    """Let the call through."""

    reason: str = ""


class Deny(Struct, frozen=True):
    """Drop the call: the log has `reason`, the agent is told `shown`, a constant unless you say otherwise."""

    reason: str = ""
    shown: str = BLOCKED


class Rewrite(Struct, frozen=True):
    """Let the call through with other arguments."""

    args: Any
    reason: str = ""


Verdict = Allow | Deny | Rewrite | Stop
Check = Callable[[ToolCall, Context], Awaitable[Verdict]]


class ToolGate(Policy):
    """A policy that decides on each tool call whose name one of `tools` (globs) matches."""

    hold: ClassVar[Hold] = "turn"
    tools: ClassVar[tuple[str, ...]] = ("*",)

    async def check(self, call: ToolCall, ctx: Context) -> Verdict:
        """Decide on one call. Returning or raising `Stop` ends the turn before any of its calls."""
        raise NotImplementedError

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Pass everything up to the first tool call; then hold, decide, and put out what is kept."""
        held: list[Event] = []
        shown: dict[str, None] = {}
        said = holding = False
        async for event in events:
            if isinstance(event, ToolCall):
                holding = True
                held += await self._decide(event, ctx, shown)
            elif holding:
                held.append(event)
            else:
                said = said or isinstance(event, Text)
                yield event
        if shown:
            yield Text(("\n\n" if said else "") + "\n\n".join(shown))
        for event in held:
            yield event

    async def _decide(self, call: ToolCall, ctx: Context, shown: dict[str, None]) -> list[Event]:
        """Record the verdict; return what is left of the call."""
        if not ctx.concerns(call.name) or not any(fnmatchcase(call.name, tool) for tool in self.tools):
            return [call]
        verdict = await self.check(call, ctx)
        match verdict:
            case Allow():
                ctx.verdict("allow", verdict.reason, about=call.id)
                return [call]
            case Rewrite():
                ctx.verdict("rewrite", verdict.reason, about=call.id)
                return [call.with_args(verdict.args)]
            case Deny():
                ctx.verdict("deny", verdict.reason, shown=verdict.shown, about=call.id)
                shown[verdict.shown] = None
                return []
            case Stop():
                raise verdict
        raise TypeError(f"check returned a {type(verdict).__name__}; return Allow, Deny, Rewrite or Stop")


def gate(*tools: str) -> Callable[[Check], ToolGate]:
    """Make a policy of a function that decides on one tool call; `tools` are globs, none means all."""

    def make(check: Check) -> ToolGate:
        async def method(self: ToolGate, call: ToolCall, ctx: Context) -> Verdict:
            return await check(call, ctx)

        namespace = {"tools": tools or ("*",), "check": method, "__doc__": check.__doc__}
        made = msgspec.defstruct(check.__name__, [], bases=(ToolGate,), namespace=namespace, module=check.__module__)
        return made()  # type: ignore[return-value]

    return make
