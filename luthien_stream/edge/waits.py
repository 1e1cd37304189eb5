"""Whom a call waits for beside its provider: a person or a model that a policy has asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from luthien_stream.events import log

Tell = Callable[[log.CallHeld | log.SampleRequested], Any]


class Waits:
    """The questions of one call. Times are microseconds since 1970, 0 for never."""

    def __init__(self) -> None:
        self.held_until = 0
        """Deadline of the hold, while a person is asked."""
        self.sampled_until = 0
        """When nobody waits for a model any more."""
        self.tell: Tell = _nobody
        """Gets each question."""
        self.asked_people = False
        """A person was asked at least once."""

    @property
    def until(self) -> int:
        """As long as that the stage may rightly say nothing."""
        return max(self.held_until, self.sampled_until)

    def take(self, event: log.CallHeld | log.SampleRequested) -> None:
        """Somebody is asked."""
        if isinstance(event, log.CallHeld):
            self.held_until, self.asked_people = max(self.held_until, event.deadline), True
        else:
            self.sampled_until = max(self.sampled_until, event.deadline)
        self.tell(event)


def _nobody(event: object) -> None:
    """Nobody is told."""
