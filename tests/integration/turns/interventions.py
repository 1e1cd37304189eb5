"""Policies that do to an answer each thing that a policy can do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import ClassVar

from luthien_stream.policy import (
    Allow,
    Context,
    Deny,
    End,
    Event,
    Events,
    Kinds,
    Opaque,
    PartEnd,
    Policy,
    Refuse,
    Request,
    Rewrite,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Verdict,
    gate,
)
from tests.integration.turns.answers import TOOLS

Change = Callable[[Event], list[Event]]


class Each(Policy):
    """Puts something in the place of each event."""

    def change(self, event: Event) -> list[Event]:
        """What is put out for an event."""
        raise NotImplementedError

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield what `change` says."""
        async for event in events:
            for out in self.change(event):
                yield out


class Edits(Each):
    """Changes every text."""

    def change(self, event: Event) -> list[Event]:
        """In capitals."""
        return [event.with_text(event.text.upper())] if isinstance(event, Text) else [event]


class Renews(Each):
    """Makes every text anew."""

    def change(self, event: Event) -> list[Event]:
        """Without a link to the provider's."""
        return [Text(event.text + "!")] if isinstance(event, Text) else [event]


class Replaces(Policy):
    """Says one thing instead of all texts of a part."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """At the end of each part."""
        dropped = False
        async for event in events:
            if isinstance(event, Text):
                dropped = True
                continue
            if dropped and isinstance(event, PartEnd | ToolCall | End):
                dropped = False
                yield Text("Something else.")
            yield event


class SaysFirst(Policy):
    """Says something before everything else."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """At the very beginning."""
        yield Text("Note: ")
        async for event in events:
            yield event


class SaysLast(Policy):
    """Says something after everything else."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Before the end."""
        async for event in events:
            if isinstance(event, End):
                yield Text("That was it.")
            yield event


class SaysBetween(Each):
    """Says something between any two parts."""

    def change(self, event: Event) -> list[Event]:
        """Behind each end of a part, each call, and each of a server's tools."""
        ends = isinstance(event, PartEnd | ToolCall) or (isinstance(event, Opaque) and event.whole)
        return [event, Text("(between)")] if ends else [event]


class SaysBeforeThinking(Each):
    """Says something before each thought."""

    def change(self, event: Event) -> list[Event]:
        """Before each piece, so also in its middle."""
        return [Text("(before) "), event] if isinstance(event, Thinking) else [event]


class Drops(Each):
    """Drops all events of some kinds."""

    kinds: tuple[str, ...]

    def change(self, event: Event) -> list[Event]:
        """Nothing for those."""
        return [] if type(event).__name__ in self.kinds else [event]


class DropsWhole(Drops):
    """The same for a policy that sees nothing else."""

    sees: ClassVar[Kinds] = frozenset({Text, PartEnd})


class DeniesPlainly(Each):
    """Says why instead of making calls, right where they stood."""

    names: tuple[str, ...]

    def change(self, event: Event) -> list[Event]:
        """Text for these."""
        denied = isinstance(event, ToolCall) and event.name in self.names
        return [Text("Not allowed.")] if denied else [event]


class Adds(Policy):
    """Makes a call of its own."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Before the end."""
        async for event in events:
            if isinstance(event, End):
                yield ToolCall(f"call_{ctx.uuid().hex[:16]}", "Bash", '{"command": "true"}')
            yield event


class AddsFirst(Policy):
    """Makes a call of its own before everything else."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """At the beginning."""
        yield ToolCall("call_first", "Bash", '{"command": "true"}')
        async for event in events:
            yield event


class Stops(Policy):
    """Stops the answer before the `number`th event of a kind."""

    kind: str
    number: int = 1

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """As told."""
        seen = 0
        async for event in events:
            seen += type(event).__name__ == self.kind
            if seen > self.number:
                raise Stop()
            yield event


class StopsAtOnce(Policy):
    """Stops the answer before its first event."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Nothing of it leaves."""
        async for _ in events:
            raise Stop()
        yield End()


class EndsSilently(Policy):
    """Says nothing at all."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Returns at the first event."""
        async for _ in events:
            return
        yield End()


class Refuses(Policy):
    """Refuses first turns."""

    async def request(self, request: Request, ctx: Context) -> Request:
        """Where the model has not spoken yet."""
        if not any(message.get("role") == "assistant" for message in request.messages):
            raise Refuse()
        return request


def denying(*names: str) -> Policy:
    """A gate that denies these calls."""

    @gate()
    async def guard(call: ToolCall, ctx: Context) -> Verdict:
        return Deny("no") if call.name in names else Allow()

    return guard


@gate()
async def rewrites(call: ToolCall, ctx: Context) -> Verdict:
    """Give every call other arguments."""
    return Rewrite({"safe": True})


@gate("Read")
async def stops(call: ToolCall, ctx: Context) -> Verdict:
    """End the turn."""
    return Stop()


INTERVENTIONS: dict[str, Policy] = {
    "nothing": Policy(),
    "text edited": Edits(),
    "text made anew": Renews(),
    "text replaced": Replaces(),
    "text before": SaysFirst(),
    "text after": SaysLast(),
    "text between": SaysBetween(),
    "text before thinking": SaysBeforeThinking(),
    "first call denied": denying(TOOLS[0]),
    "middle call denied": denying(TOOLS[1]),
    "last call denied": denying(TOOLS[2]),
    "all calls denied": denying(*TOOLS),
    "first call denied without a gate": DeniesPlainly(TOOLS[:1]),
    "middle call denied without a gate": DeniesPlainly(TOOLS[1:2]),
    "all calls denied without a gate": DeniesPlainly(TOOLS),
    "calls dropped": Drops(("ToolCall",)),
    "arguments rewritten": rewrites,
    "call added": Adds(),
    "call added first": AddsFirst(),
    "stopped at a call": stops,
    "stopped at once": StopsAtOnce(),
    "stopped in text": Stops("Text"),
    "stopped in thinking": Stops("Thinking"),
    "stopped after a call": Stops("ToolCall"),
    "stopped before a server's tool": Stops("Opaque", 0),
    "stopped after a server's tool": Stops("Opaque"),
    "thinking dropped": Drops(("Thinking",)),
    "server's tools dropped": Drops(("Opaque",)),
    "text dropped": Drops(("Text",)),
    "text dropped unseen": DropsWhole(("Text",)),
    "all but thinking dropped": Drops(("Text", "ToolCall", "Opaque")),
    "all dropped": Drops(("Text", "Thinking", "ToolCall", "Opaque")),
    "ended silently": EndsSilently(),
    "request refused": Refuses(),
}
"""What is done, by name."""
