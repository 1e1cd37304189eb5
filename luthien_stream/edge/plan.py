"""What the pipeline means for a call's way: computed once, since it is the same for all calls of a process."""

from __future__ import annotations

from typing import Self

from msgspec import Struct

from luthien_stream.core.partition import partition_of
from luthien_stream.edge.admission import Way
from luthien_stream.events.log import Hop, Phase, Slip
from luthien_stream.policy.pipeline import Pipeline


class Plan(Struct, frozen=True):
    """The one stage that calls pass: all empty without a pipeline, all but the version if no policy acts."""

    version: str = ""
    stage: str = ""
    phases: tuple[Phase, ...] = ()
    fails_open: bool = False

    @classmethod
    def of(cls, pipeline: Pipeline | None) -> Self:
        """Read it off a pipeline."""
        if pipeline is None:
            return cls()
        if not pipeline.phases:
            return cls(pipeline.version)
        return cls(pipeline.version, pipeline.stage, tuple(pipeline.phases), pipeline.fails_open)

    def slip(self, call: str, way: Way) -> Slip:
        """The routing slip of a call."""
        if not self.phases or way == "bypassed":
            return Slip(version=self.version)
        hop = Hop(stage=self.stage, partition=partition_of(call), phases=self.phases)
        final_by = f"stage:{self.stage}" if "response" in self.phases else "edge"
        return Slip(version=self.version, hops=(hop,), final_by=final_by)
