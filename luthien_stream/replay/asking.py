"""Questions to models that are asked now, while a recorded call is run again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from typing import Literal

from luthien_stream.events.log import ChunkReceived, SampleRequested
from luthien_stream.formats import LENSES
from luthien_stream.replay.pool import Result, question_of
from luthien_stream.replay.result import Asked

Ask = Callable[[SampleRequested], Result | None]
"""Asks a model now; None where it cannot be asked."""


class AskedOnce:
    """Asks each question once for all runs of a call: a second run is told what the first was told, at no cost."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._told: dict[Hashable, Result | None] = {}
        self._count: Counter[Hashable] = Counter()

    def __call__(self, requested: SampleRequested) -> Result | None:
        """The answer to this question, as often as it was put in this run."""
        question = question_of(requested)
        self._count[question] += 1
        place = (question, self._count[question])
        if place not in self._told:
            self._told[place] = self._ask(requested)
        return self._told[place]

    def begin(self) -> None:
        """Another run begins."""
        self._count.clear()


def asked_of(requested: SampleRequested, result: Result, source: Literal["log", "live"]) -> Asked:
    """What is told of a question, with the tokens that its answer counts."""
    frames = [event.frame for event in result.inputs if isinstance(event, ChunkReceived)]
    lens = LENSES.get(requested.format)
    usage = (lens.usage_of(frames) if lens is not None and frames else None) or {}
    sent = usage.get("prompt_tokens", usage.get("input_tokens", 0)) or 0
    got = usage.get("completion_tokens", usage.get("output_tokens", 0)) or 0
    return Asked(requested.policy, requested.model, requested.why, source, sent, got)
