"""A candidate pipeline over a recorded call, on a clock of its own: inputs come when they came, effects take as long
as they took.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from luthien_stream.core.program import SAMPLE, Program, Want
from luthien_stream.events.log import AnyEvent, SampleRequested
from luthien_stream.replay.pool import Result

Answer = Callable[[Want, SampleRequested | None], Result | None]
"""What comes of an effect, given the question to a model if it is one; None where nothing is known of it."""


class Passed(Struct):
    """What came out of the candidate."""

    outputs: list[AnyEvent] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    """When each of them left, microseconds on the virtual clock."""
    missing: list[Want] = field(default_factory=list)
    """Effects that nobody had a result for."""
    over: bool = False


class Clocked:
    """One run. `answer` is asked for each effect once."""

    def __init__(self, program: Program, answer: Answer) -> None:
        self._program, self._answer = program, answer
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._number = count()
        self._asked: set[str] = set()
        self.passed = Passed()

    def run(self, inputs: Iterable[AnyEvent]) -> Passed:
        """Feed all inputs at their times, effects' results as they come, and return what came out."""
        for event in inputs:
            self._at(event.time, lambda event=event: self._program.feed(event))  # type: ignore[misc]
        while self._agenda and not self._program.over and not self.passed.missing:
            now, _, act = heapq.heappop(self._agenda)
            act()
            self._advance(now)
        self.passed.over = self._program.over
        return self.passed

    def end(self, reason: str, message: str, now: int) -> None:
        """End the call as it was ended on record."""
        if not self._program.over:
            self._take(self._program.cut(reason, message), now)

    def _at(self, time: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (time, next(self._number), act))

    def _advance(self, now: int) -> None:
        again = True
        while again:
            self._take(self._program.advance(), now)
            new = [want for want in self._program.wants() if want.key not in self._asked]
            for want in new:
                self._asked.add(want.key)
                self._perform(want, now)
            again = False

    def _take(self, outputs: Sequence[AnyEvent], now: int) -> None:
        self.passed.outputs += outputs
        self.passed.times += [now] * len(outputs)

    def _perform(self, want: Want, now: int) -> None:
        if want.kind == "timer":
            self._at(max(now, int(want.args)), lambda: self._decide(want, want.args, max(now, int(want.args))))
            return
        requested = self._requested(want.key)
        result = self._answer(want, requested)
        if result is None:
            self.passed.missing.append(want)
        elif requested is None or not result.inputs:
            at = now + result.after
            self._at(at, lambda: self._decide(want, result.value, at))
        else:
            self._draw(want.key, result, now)

    def _draw(self, key: str, result: Result, now: int) -> None:
        for event in result.inputs:
            at = now + max(0, event.time - result.began)
            moved = replace(event, time=at)
            self._at(at, lambda moved=moved: self._program.feed(moved, f"{SAMPLE}{key}"))  # type: ignore[misc]

    def _decide(self, want: Want, value: Any, at: int) -> None:
        self._program.decide(want.key, value, "", at)

    def _requested(self, key: str) -> SampleRequested | None:
        found = (event for event in self.passed.outputs if isinstance(event, SampleRequested) and event.key == key)
        return next(found, None)
