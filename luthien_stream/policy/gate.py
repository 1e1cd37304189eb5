"""Sugar for policies that decide on tool calls: `@gate`, and `ToolGate` for those with configuration.

A gate holds from the first tool call to the end of the turn: what it shows must stand before the calls it keeps, and
no call may run while another of the same turn is undecided. The checks run side by side; what they say is applied in
the order of the calls.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from fnmatch import fnmatchcase
from typing import ClassVar

import msgspec

from luthien_stream.events.answer import Event, Text, ToolCall
from luthien_stream.policy.api import Hold as Holds
from luthien_stream.policy.api import Policy, Stop
from luthien_stream.policy.asking import Approval
from luthien_stream.policy.context import Context
from luthien_stream.policy.effects import AT_ONCE
from luthien_stream.policy.stream import Events
from luthien_stream.policy.verdicts import Allow, Deny, Hold, Rewrite, Score, Verdict

Check = Callable[[ToolCall, Context], Awaitable[Verdict]]


class ToolGate(Policy):
    """A policy that decides on each tool call whose name one of `tools` (globs) matches."""

    hold: ClassVar[Holds] = "turn"
    tools: ClassVar[tuple[str, ...]] = ("*",)
    most: ClassVar[int] = 1000
    """Calls of one turn that are checked: no agent makes so many, and a turn with more is stopped."""

    async def check(self, call: ToolCall, ctx: Context) -> Verdict:
        """Decide on one call. Returning or raising `Stop` ends the turn before any of its calls."""
        raise NotImplementedError

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Pass everything up to the first tool call; then hold, decide, and put out what is kept."""
        held: list[Event] = []
        said = False
        async for event in events:
            if held or isinstance(event, ToolCall):
                held.append(event)
            else:
                said = said or isinstance(event, Text)
                yield event
        shown: dict[str, None] = {}
        checked = [event for event in held if isinstance(event, ToolCall) and self._is_mine(event, ctx)]
        if len(checked) > self.most:
            raise Stop(reason=f"{len(checked)} tool calls in one turn, more than {self.most}")
        verdicts: list[Verdict] = []
        for at in range(0, len(checked), AT_ONCE):
            verdicts += await ctx.gather(*(self._verdict(call, ctx) for call in checked[at : at + AT_ONCE]))
        kept = {id(call): _apply(verdict, call, ctx, shown) for call, verdict in zip(checked, verdicts, strict=True)}
        if shown:
            yield Text(("\n\n" if said else "") + "\n\n".join(shown))
        for event in held:
            left = kept.get(id(event), event)
            if left is not None:
                yield left

    def _is_mine(self, call: ToolCall, ctx: Context) -> bool:
        return ctx.concerns(call.name) and any(fnmatchcase(call.name, tool) for tool in self.tools)

    async def _verdict(self, call: ToolCall, ctx: Context) -> Verdict:
        """Check one call, and ask a person where the check says so; a `Stop` waits for the verdicts before it."""
        try:
            verdict = await self.check(call, ctx)
        except Stop as stop:
            return stop
        if not isinstance(verdict, Hold):
            return verdict
        ctx.verdict("hold", verdict.reason, about=call.id)
        return _answered(await ctx.ask(call, verdict.reason, timeout_s=verdict.limit_s), verdict)


def _answered(approval: Approval, hold: Hold) -> Verdict:
    """What a person's answer, or their silence, makes of a hold."""
    match approval.decision, hold.on_timeout:
        case "approve", _:
            return Allow(f"approved by {approval.by}")
        case "modify", _:
            return Rewrite(approval.args, f"modified by {approval.by}")
        case "reject", _:
            return Deny(f"rejected by {approval.by}", hold.shown)
        case _, "allow":
            return Allow("nobody answered in time")
        case _, "stop":
            return Stop(hold.shown, "nobody answered in time")
    return Deny("nobody answered in time", hold.shown)


def _apply(verdict: Verdict, call: ToolCall, ctx: Context, shown: dict[str, None]) -> ToolCall | None:
    """Record the verdict; return what is left of the call."""
    match verdict:
        case Allow():
            ctx.verdict("allow", verdict.reason, about=call.id)
            return call
        case Score():
            ctx.verdict("score", verdict.reason, score=verdict.score, about=call.id)
            return call
        case Rewrite():
            ctx.verdict("rewrite", verdict.reason, about=call.id)
            return call.with_args(verdict.args)
        case Deny():
            ctx.verdict("deny", verdict.reason, shown=verdict.shown, about=call.id)
            shown[verdict.shown] = None
            return None
        case Stop():
            raise verdict
    raise TypeError(f"check returned a {type(verdict).__name__}; return Allow, Rewrite, Deny, Hold, Score or Stop")


def gate(*tools: str) -> Callable[[Check], ToolGate]:
    """Make a policy of a function that decides on one tool call; `tools` are globs, none means all."""

    def make(check: Check) -> ToolGate:
        async def method(self: ToolGate, call: ToolCall, ctx: Context) -> Verdict:
            return await check(call, ctx)

        namespace = {"tools": tools or ("*",), "check": method, "__doc__": check.__doc__}
        made = msgspec.defstruct(check.__name__, [], bases=(ToolGate,), namespace=namespace, module=check.__module__)
        return made()  # type: ignore[return-value]

    return make
