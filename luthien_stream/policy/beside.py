"""A stage that only watches: its policies are run as ever, and nothing is done about what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from luthien_stream.core.lens import Lens
from luthien_stream.core.program import Folded, Want
from luthien_stream.events.log import AnyEvent, ResponseAborted, ResponseCompleted, ResponseFailed, VerdictReached
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.program import PolicyProgram


class ShadowProgram:
    """Implements `core.program.Program`: verdicts, and the policies that ran, say that they stand beside the call."""

    __slots__ = ("_inner", "over")

    def __init__(self, pipeline: Pipeline, lenses: Mapping[str, Lens]) -> None:
        self._inner = PolicyProgram(pipeline, lenses)
        self.over = False

    def feed(self, event: AnyEvent, source: str = "") -> None:
        """Take the next accepted input."""
        self._inner.feed(event, source)

    def decide(self, key: str, value: Any, of: str = "", time: int = 0) -> None:
        """Take the recorded result of an effect."""
        self._inner.decide(key, value, of, time)

    def advance(self) -> Sequence[AnyEvent]:
        """Run until it waits for input or effects; return outputs in order."""
        out = _marked(self._inner.advance())
        self.over = self._inner.over
        return out

    def wants(self) -> Sequence[Want]:
        """The effects it waits for now."""
        return self._inner.wants()

    def folds(self) -> Sequence[Folded]:
        """What it adds to its session, once it is over."""
        return self._inner.folds()

    def cut(self, reason: str, message: str) -> Sequence[AnyEvent]:
        """End the call now."""
        self.over = True
        return _marked(self._inner.cut(reason, message))


def _marked(events: Sequence[AnyEvent]) -> Sequence[AnyEvent]:
    for event in events:
        if isinstance(event, VerdictReached):
            event.shadow = True
        elif isinstance(event, ResponseCompleted | ResponseFailed | ResponseAborted):
            event.policies = tuple(replace(ran, shadow=True) for ran in event.policies)
    return events
