"""Take out characters that nobody sees: what they say is said to the model alone, or hides what a person would see.

Looked for are Unicode tags, characters without width, directional controls and variation selectors, in what the
provider is sent and in what the client gets. What writing needs stays: emoji, flags, joiners of Arabic and Indic
scripts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import ClassVar, Literal

from luthien_stream.policy import Context, Event, Events, Policy, Refuse, Request
from luthien_stream.policy.api import Hold
from luthien_stream.text.carriers import Carriers, Found, carried, edits_of
from luthien_stream.text.flow import Scan
from luthien_stream.text.hidden import Action, HiddenScan

ACTIONS: dict[str, Action] = {"strip": "strip", "flag": "flag", "refuse": "end"}
SHOWN = "This text has characters that nobody sees, so it was refused by a policy."


class HiddenText(Policy):
    """`action`: `strip` takes them out, `flag` only records them, `refuse` refuses the request or ends the answer."""

    hold: ClassVar[Hold] = "tail"

    action: Literal["strip", "flag", "refuse"] = "strip"
    shown: str = SHOWN

    async def request(self, request: Request, ctx: Context) -> Request:
        """Look at what the model would read: all but its own tool calls."""
        found = Found()
        changed = request.replace_all(edits_of(request, self._scans(found), ("text", "tool_result", "other")))
        if self.action == "refuse" and found.counts:
            raise Refuse(self.shown, found.said())
        self._record(found, ctx)
        return changed

    def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Look at text, open thinking and tool arguments."""
        found = Found()
        carriers = Carriers(self._scans(found), found, withhold=False)
        return carried(events, carriers, found, lambda: self._record(found, ctx), self.shown)

    def _scans(self, found: Found) -> Callable[[], Scan]:
        def note(kind: str) -> None:
            found.note(kind)
            if self.action == "refuse":
                found.stop = kind

        action = ACTIONS[self.action]
        return lambda: HiddenScan(note, action)

    def _record(self, found: Found, ctx: Context) -> None:
        if self.action == "flag":
            found.record(ctx, "score", 1.0)
        elif self.action == "strip":
            found.record(ctx)
