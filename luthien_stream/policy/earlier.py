"""The stages that a call passes before the one that runs it: an answer drawn here has to pass their policies too.

Their policies have negative indices, so that those of the stage itself keep theirs, whatever stands before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from luthien_stream.errors import PolicyError
from luthien_stream.events.slip import Slip
from luthien_stream.policy.facts import CallFacts
from luthien_stream.policy.folding import Fold
from luthien_stream.policy.pipeline import Bound, Pipeline
from luthien_stream.policy.stages import Stage

Known = Mapping[str, Stage]
"""Stages by key, in the versions that calls may still pass."""


class Earlier(Struct, frozen=True):
    """Those of one call that act on answers. `unseen` is the key of one whose policies cannot be run here."""

    bound: tuple[Bound, ...] = ()
    unseen: str = ""

    @classmethod
    def of(cls, slip: Slip, stage: str, call: CallFacts, known: Known) -> Earlier:
        """Look up the stages before `stage` on a call's way."""
        bound: list[Bound] = []
        for hop in slip.hops[: max(0, slip.place(stage))]:
            found = known.get(hop.stage)
            if isinstance(found, Pipeline):
                bound += found.narrowed(call).policies
            elif found is None or "response" in found.phases:
                return cls((), hop.stage)
        return cls(tuple(bound))

    def policies(self) -> Sequence[Bound]:
        """All of their policies, in order. Raises `PolicyError` where they are not known."""
        if self.unseen:
            raise PolicyError(f"samples behind the stage {self.unseen}, whose policies are unknown here: put it before")
        return self.bound

    @property
    def folds(self) -> Mapping[int, tuple[str, Fold]]:
        """What their policies keep over the calls of a session, by index."""
        return {index - len(self.bound): fold for index, fold in Pipeline(self.bound).folds.items()}


EMPTY = Earlier()
