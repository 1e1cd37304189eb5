"""Watching the log: what one person wants to see of it, from a time or from where an earlier watch ended."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from msgspec import Struct

from luthien_stream.bus.port import Bus
from luthien_stream.record.filter import Facts
from luthien_stream.tail.place import Mark, Resume
from luthien_stream.tail.positions import Gap
from luthien_stream.tail.reading import PAGE, Pause, Reading, Seen
from luthien_stream.tail.wanted import Selection, Wanted


class Shown(Struct, frozen=True):
    """An event that is wanted, and what is known of its call."""

    seen: Seen
    facts: Facts


class Undecided(Struct, frozen=True):
    """A call whose beginning is no longer kept, so that it cannot be said whether it is wanted."""

    call: str


class Watching:
    """One watch. `since` in microseconds; without it and without `resume`, what comes from now on.

    Whose model or session counts must be seen from its beginning, so all that is kept is read then, in silence.
    """

    def __init__(
        self,
        bus: Bus,
        wanted: Wanted,
        *,
        since: int | None = None,
        resume: Resume | None = None,
        follow: bool = True,
        page: int = PAGE,
        facts: bool = True,
    ) -> None:
        past = since is not None or resume is not None or wanted.needs_request
        self._reading = Reading(bus, past=past, resume=resume, follow=follow, page=page)
        self._since, self._resume = since, resume
        self._selection = Selection(wanted, facts=facts)
        self._begun = False

    async def events(self) -> AsyncGenerator[Shown | Gap | Undecided | Pause]:
        """Yield until interrupted or, without `follow`, to the end. Raises `BusError` without `follow`."""
        async with aclosing(self._reading.events()) as events:
            async for each in events:
                shown = self._shown(each) if isinstance(each, Seen) else each
                if shown is not None:
                    yield shown

    def mark(self) -> Mark | None:
        """How far the log has been read: where to resume. None before the first event that is not silent past."""
        return self._reading.mark() if self._begun else None

    @property
    def caught_up(self) -> bool:
        """Whether all has been read that was there at the beginning."""
        return self._reading.caught_up

    def _shown(self, seen: Seen) -> Shown | Undecided | None:
        facts = self._selection.learn(seen.event)
        if self._is_before(seen):
            return None
        self._begun = True
        takes = self._selection.takes(seen.event, facts)
        return Undecided(seen.event.call) if takes is None else Shown(seen, facts) if takes else None

    def _is_before(self, seen: Seen) -> bool:
        if self._resume is not None:
            return seen.place <= self._resume.place
        return self._reading.is_past(seen) if self._since is None else seen.time < self._since
