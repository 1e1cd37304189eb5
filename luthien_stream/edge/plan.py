"""What the pipeline means for a call's way: the stages that it passes, and who writes its final lane."""

from __future__ import annotations

from msgspec import Struct

from luthien_stream.core.partition import partition_of
from luthien_stream.edge.admission import Way
from luthien_stream.events.log import Hop, Phase, Slip
from luthien_stream.policy.matching import Facts
from luthien_stream.policy.stages import Stages


class Plan(Struct, frozen=True):
    """The way of calls through the stages in force."""

    stages: Stages = Stages()

    def hops(self, call: str, facts: Facts) -> tuple[Hop, ...]:
        """The stages that a call passes: those with a policy that takes part in it.

        All of them see all of the call from the first phase to the last that any of them acts in: what a stage has
        nothing to do with it passes on.
        """
        acting = [(stage.stage, phases) for stage in self.stages.enforcing if (phases := stage.narrowed(facts).phases)]
        every: tuple[Phase, ...] = ("request", "response")
        phases = tuple(phase for phase in every if any(phase in each for _, each in acting))
        number = partition_of(call)
        return tuple(Hop(stage=stage, partition=number, phases=phases) for stage, _ in acting)

    def slip(self, hops: tuple[Hop, ...], way: Way) -> Slip:
        """The routing slip of a call with these hops."""
        if not hops or way == "bypassed":
            return Slip(version=self.stages.version)
        final_by = f"stage:{hops[-1].stage}" if "response" in hops[-1].phases else "edge"
        return Slip(version=self.stages.version, hops=hops, final_by=final_by)
