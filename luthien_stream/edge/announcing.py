"""Telling the record which pipeline is in force, as it was written: what was recorded can be run over again with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luthien_stream.bus.outbox import Outbox
from luthien_stream.edge.line import Line
from luthien_stream.events.log import StageChanged
from luthien_stream.policy.stages import Stages


class Announcing:
    """See the module. One for each edge."""

    def __init__(self, outbox: Outbox) -> None:
        self._line = Line("", outbox)

    def __call__(self, stages: Stages, written: Sequence[Any]) -> None:
        """Tell of each stage that workers of this package run; of one that was not written down nothing is told."""
        for pipeline in stages.pipelines if written else ():
            policies = tuple((bound.name, bound.version) for bound in pipeline.policies)
            self._line.put(
                StageChanged(
                    call="", stage=pipeline.stage, partition=-1, why="in_force", written=[*written], policies=policies
                )
            )
