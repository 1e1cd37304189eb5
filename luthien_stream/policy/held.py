"""What a policy was given and has not put out: bounded, and what goes on unchanged where the policy fails open."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from luthien_stream.events.answer import Event
from luthien_stream.policy.errors import HoldTooLarge
from luthien_stream.policy.pipeline import Bound
from luthien_stream.policy.stream import HOLD_LIMIT, size_of


class Held:
    """Events in hand, oldest first, at most `HOLD_LIMIT` bytes."""

    __slots__ = ("_answers_all", "_events", "_size", "_times", "kept_us")

    def __init__(self, answers_all: bool) -> None:
        """`answers_all`: whatever the policy puts out answers all it was given (`hold = "none"`)."""
        self._answers_all = answers_all
        self._events: deque[Event] = deque()
        self._times: deque[int] = deque()
        self._size = 0
        self.kept_us = 0
        """How long an event was kept at most, microseconds."""

    @classmethod
    def under(cls, bound: Bound) -> Held | None:
        """Return one for a policy that holds parts or may fail open; None where nobody asks what it holds."""
        hold = bound.policy.hold
        if bound.on_error == "open" or hold in ("block", "turn"):
            return cls(hold == "none")
        return None

    def take(self, event: Event, now: int) -> bool:
        """Keep an event that the policy is given; False if that is too much."""
        if self._answers_all:
            self._clear()
        self._events.append(event)
        self._times.append(now)
        self._size += size_of(event)
        return self._answers_all or self._size <= HOLD_LIMIT

    def let_go(self, out: Event, now: int) -> None:
        """Forget what the policy put out, and what came before it."""
        if self._answers_all:
            self._clear()
        elif any(_same(event, out) for event in self._events):
            while not _same(self._events[0], out):
                self._drop()
            self.kept_us = max(self.kept_us, now - self._times[0])
            self._drop()

    def events(self) -> Iterable[Event]:
        """What the policy was given and has not put out."""
        return self._events

    def _drop(self) -> None:
        self._size -= size_of(self._events.popleft())
        self._times.popleft()

    def _clear(self) -> None:
        self._events.clear()
        self._times.clear()
        self._size = 0

    def too_large(self) -> HoldTooLarge:
        """The failure that `take` announced."""
        return HoldTooLarge(f"holds back {self._size} bytes; at most {HOLD_LIMIT} are allowed")


def _same(event: Event, out: Event) -> bool:
    """True if `out` is the event, or an edit of it."""
    return event is out or (out.src is not None and event.src is out.src and event.pos == out.pos)
