"""Which events a person wants to see: a view, globs of types, and questions about their calls. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from fnmatch import fnmatchcase

from msgspec import Struct

from luthien_stream.events.log import AnyEvent
from luthien_stream.events.pack import type_of
from luthien_stream.record.filter import All, BadFilter, Facts, Filter, Term, fields_of, matches, parse
from luthien_stream.tail.facts import CALLS_KEPT, Knowledge

VIEWS = {
    "events": (),
    "calls": ("response.delivered",),
    "chunks": ("chunk.received", "chunk.released"),
    "verdicts": ("verdict.reached", "policy.failed", "policy.bypassed"),
}
"""Views by the types of events that they show; empty for all but flow control."""
RECORDED = frozenset({"said", "label"})
"""Fields of the filter that only recorded calls have."""


class Wanted(Struct, frozen=True):
    """Which events to show; empty means any. `types` are globs, as is `model`; `call` is the beginning of an id."""

    call: str = ""
    session: str = ""
    model: str = ""
    types: tuple[str, ...] = ()
    filter: Filter = All(())

    @property
    def question(self) -> Filter:
        """All that is asked of a call."""
        asked = [Term(name, value) for name in ("call", "session", "model") if (value := getattr(self, name))]
        return All((*asked, self.filter))

    @property
    def needs_request(self) -> bool:
        """Whether it takes the call's first event to decide."""
        return bool(fields_of(self.question) - {"call", "type"})

    def is_type(self, event: AnyEvent) -> bool:
        """Whether events of this type are shown. Flow control is only on demand."""
        kind = type_of(event)
        return any(fnmatchcase(kind, glob) for glob in self.types) if self.types else kind != "chunk.seen"


def asked_for(
    view: str, filter: str, *, call: str = "", session: str = "", model: str = "", types: Sequence[str] = ()
) -> Wanted:
    """What a person asks for, a view by its name and a filter as text. Raises `BadFilter`."""
    if view not in VIEWS:
        raise BadFilter(f"{view!r} is no view: {', '.join(VIEWS)}")
    parsed = parse(filter)
    if fields_of(parsed) & RECORDED:
        raise BadFilter("~b and ~l are known of recorded calls only: luthien-stream calls, search, export")
    return Wanted(call, session, model, (*VIEWS[view], *types), parsed)


class Selection:
    """Decides about one event after the other, with what it has seen of their calls.

    `facts`: learn all that is seen of calls, also where the question does not need it.
    """

    def __init__(self, wanted: Wanted, *, facts: bool = True) -> None:
        self._wanted, self._question = wanted, wanted.question
        self._learns = facts or wanted.needs_request
        self._knowledge = Knowledge()
        self._told: OrderedDict[str, None] = OrderedDict()

    def learn(self, event: AnyEvent) -> Facts:
        """Take note of an event, shown or not."""
        return self._knowledge.learn(event) if self._learns else Facts(call=event.call, type=(type_of(event),))

    def takes(self, event: AnyEvent, facts: Facts) -> bool | None:
        """Whether to show an event; None, once a call, if that hangs on the beginning of a call that was not seen."""
        if not self._wanted.is_type(event):
            return False
        fits = matches(self._question, facts)
        if fits is not None or facts.model is not None:
            return fits is True
        return False if self._was_told(event.call) else None

    def _was_told(self, call: str) -> bool:
        told = call in self._told
        self._told[call] = None
        if len(self._told) > CALLS_KEPT:
            self._told.popitem(last=False)
        return told
