"""The other stages on a call's way: a drawn answer passes the policies of those before, like the call's own.

These have negative indices, so that those of the stage itself keep theirs, whatever stands before it. Of those behind,
none may be gone past by a request that only this stage knows.
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


class Others(Struct, frozen=True):
    """Those of one call. `bound` are all policies before; `unseen` is a stage before whose policies cannot be run here,
    `unasked` the first one behind that acts on requests, both by key and empty for none.
    """

    bound: tuple[Bound, ...] = ()
    unseen: str = ""
    unasked: str = ""

    @classmethod
    def of(cls, slip: Slip, stage: str, call: CallFacts, known: Known) -> Others:
        """Look up the stages around `stage` on a call's way."""
        place = max(0, slip.place(stage))
        bound: list[Bound] = []
        unseen = ""
        for hop in slip.hops[:place]:
            found = known.get(hop.stage)
            if isinstance(found, Pipeline):
                bound += found.narrowed(call).policies
            elif found is None or "response" in found.phases:
                unseen = unseen or hop.stage
        behind = (hop.stage for hop in slip.hops[place + 1 :] if _asks(known.get(hop.stage), call))
        return cls(tuple(bound), unseen, next(behind, ""))

    def check_request(self) -> None:
        """Raises `PolicyError` for a sample whose request is not the one that all stages have released."""
        if self.unasked:
            raise PolicyError(f"samples with a request that the stage {self.unasked} would not see: put it behind that")

    def policies(self) -> Sequence[Bound]:
        """All of their policies, in order. Raises `PolicyError` where they are not known."""
        if self.unseen:
            raise PolicyError(f"samples behind the stage {self.unseen}, whose policies are unknown here: put it before")
        return self.bound

    @property
    def folds(self) -> Mapping[int, tuple[str, Fold]]:
        """What their policies keep over the calls of a session, by index."""
        return {index - len(self.bound): fold for index, fold in Pipeline(self.bound).folds.items()}


def _asks(stage: Stage | None, call: CallFacts) -> bool:
    return stage is None or "request" in stage.narrowed(call).phases


EMPTY = Others()
