"""What an author writes: a `Policy` with a `request` phase, a `response` phase, or both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar, Literal

from msgspec import Struct

from luthien_stream.core.lens import Request
from luthien_stream.events.answer import ALL, Event, Kinds
from luthien_stream.policy.context import Context
from luthien_stream.policy.folding import Fold
from luthien_stream.policy.stream import Events

Hold = Literal["none", "tail", "block", "turn"]
REFUSED = "This request was refused by a policy."
STOPPED = "This answer was stopped by a policy."


class Policy(Struct, forbid_unknown_fields=True):
    """One policy. Its fields are its configuration (`with:`); a running call never changes them.

    Instances serve all calls at once: state of a call lives in local variables of `response`.
    """

    sees: ClassVar[Kinds] = ALL
    """Kinds of events that `response` is shown; the others flow past it in order."""
    hold: ClassVar[Hold] = "none"
    """How long `response` may keep an event before it yields it: not at all, to the end of the event's part (`tail`
    for the end of a text, `block` for whole parts), or to the end of the answer. The engine enforces it."""
    redacts: ClassVar[bool] = False
    """True for a policy that takes secrets out: it always fails closed."""
    beside: ClassVar[bool] = False
    """True for a policy that only watches: it runs in the shadow stage, where it delays nothing and changes nothing."""
    fold: ClassVar[Fold | None] = None
    """What it keeps over the calls of a session, see `ctx.session`."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """What it uses of `ctx` beyond time and chance: `judge`, `sample`, `ask`, `history`."""

    async def request(self, request: Request, ctx: Context) -> Request:
        """Return the request for the provider, changed or not. Raise `Refuse` to refuse it."""
        return request

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield what the client gets. Raise `Stop` to end the answer here; nothing may follow an `End`."""
        async for event in events:
            yield event


class Refuse(Exception):
    """Refuse a request: the agent is answered `shown`, the log has `reason`."""

    def __init__(self, shown: str = REFUSED, reason: str = "") -> None:
        self.shown, self.reason = shown, reason
        super().__init__(reason or shown)


class Stop(Exception):
    """End the answer here, politely: `shown` is put behind what has left, as a paragraph; the log has `reason`."""

    def __init__(self, shown: str = STOPPED, reason: str = "") -> None:
        self.shown, self.reason = shown, reason
        super().__init__(reason or shown)
