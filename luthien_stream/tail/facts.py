"""What is known of calls while they pass, for filters: model and session at once, verdicts and the end as they come."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from msgspec.structs import replace

from luthien_stream.events.log import AnyEvent, PolicyFailed, RequestReceived, Terminal, VerdictReached
from luthien_stream.events.pack import type_of
from luthien_stream.record.filter import Facts

CALLS_KEPT = 20_000


class Knowledge:
    """Of the latest calls. What has not been seen of a call is unknown, not absent."""

    def __init__(self, most: int = CALLS_KEPT) -> None:
        self._most = most
        self._calls: OrderedDict[str, Facts] = OrderedDict()

    def learn(self, event: AnyEvent) -> Facts:
        """Take note of an event; return what is known of its call now, and the event's own type."""
        facts = self._calls.get(event.call)
        if facts is None:
            facts = self._calls[event.call] = Facts(call=event.call)
            if len(self._calls) > self._most:
                self._calls.popitem(last=False)
        self._calls.move_to_end(event.call)
        match event:
            case RequestReceived():
                for name in ("model", "session", "user", "key", "client", "format"):
                    setattr(facts, name, (getattr(event, name),))
            case VerdictReached():
                facts.policy = _with(facts.policy, event.policy)
                facts.verdict = _with(facts.verdict, event.kind)
            case PolicyFailed():
                facts.policy = _with(facts.policy, event.policy)
                facts.verdict = _with(facts.verdict, "failed")
            case _ if isinstance(event, Terminal) and event.lane == "final":
                facts.outcome = (type_of(event).removeprefix("response."),)
                facts.error = (getattr(event, "error", "") or "",)
                facts.policy, facts.verdict = facts.policy or (), facts.verdict or ()
        return replace(facts, type=(type_of(event),))


def _with(values: Sequence[str] | None, value: str) -> Sequence[str]:
    known = values or ()
    return known if value in known else (*known, value)
