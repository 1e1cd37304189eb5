"""What each policy came to in one call: that it finished, its gravest verdict, how long it kept an event."""

from __future__ import annotations

from collections.abc import Sequence

from luthien_stream.events.log import Phase, PolicyRan, VerdictKind
from luthien_stream.policy.pipeline import Pipeline

GRAVITY: tuple[VerdictKind, ...] = ("allow", "score", "rewrite", "hold", "deny", "stop")


class Ran:
    """One policy."""

    __slots__ = ("done", "failed", "held_us", "verdict")

    def __init__(self) -> None:
        self.done: set[Phase] = set()
        """The phases that it was run to its end in."""
        self.failed = False
        self.held_us = 0
        self.verdict: VerdictKind | None = None

    def decided(self, kind: VerdictKind) -> None:
        """Take a verdict of its own."""
        if self.verdict is None or GRAVITY.index(kind) > GRAVITY.index(self.verdict):
            self.verdict = kind

    def held(self, us: int) -> None:
        """It kept something so long, microseconds."""
        self.held_us = max(self.held_us, us)


class Tally:
    """All policies of one call, by index."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._ran = [Ran() for _ in pipeline.policies]
        self.refused = False
        """There was no response phase."""

    def of(self, index: int) -> Ran:
        """What one policy came to."""
        return self._ran[index]

    def finished(self) -> Sequence[PolicyRan]:
        """Those that were run to their end, in order."""
        return [
            PolicyRan(bound.name, bound.version, ran.verdict or "", ran.held_us)
            for bound, ran in zip(self._pipeline.policies, self._ran, strict=True)
            if bound.phases and not ran.failed and (bound.phases[0] if self.refused else bound.phases[-1]) in ran.done
        ]
