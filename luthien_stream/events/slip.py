"""The routing slip that every call carries: through which stages it goes, and who writes its final lane."""

from __future__ import annotations

from typing import Any, Literal, get_args

from msgspec import Struct

Phase = Literal["request", "response"]
SHADOW = "shadow"
"""The stage of all policies that only watch: it is on no call's way, and what it says decides nothing."""
_WATCHING = f"stage:{SHADOW}@"


def watches(src: str) -> bool:
    """Say whether a source is the stage beside the calls."""
    return src.startswith(_WATCHING)


class Hop(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """One stage of a call's way: the stage's key, its partition, and the phases it runs."""

    stage: str
    partition: int
    phases: tuple[Phase, ...] = ("request", "response")


class Slip(Struct, omit_defaults=True, forbid_unknown_fields=True):
    """The routing slip: fixed when the call opens, for the whole call."""

    version: str = ""
    hops: tuple[Hop, ...] = ()
    final_by: str = "edge"
    """The one writer of the final lane: `edge`, or the source name of the last stage that runs the response phase."""

    @property
    def speaker(self) -> str:
        """The source name of the stage that the edge listens to, empty without stages."""
        if self.final_by != "edge":
            return self.final_by
        return f"stage:{self.hops[-1].stage}" if self.hops else ""

    def place(self, stage: str) -> int:
        """Where on the way a stage is, counted from 0; -1 if it is not."""
        return next((place for place, hop in enumerate(self.hops) if hop.stage == stage), -1)


def known_part(slip: Any) -> Any:
    """Return what this release can read of a slip of a newer one, both as plain values."""
    known = _fields(slip, Slip)
    if isinstance(known, dict) and isinstance(known.get("hops"), list):
        known["hops"] = [_hop(hop) for hop in known["hops"]]
    return known


def _hop(hop: Any) -> Any:
    known = _fields(hop, Hop)
    if isinstance(known, dict) and isinstance(known.get("phases"), list):
        known["phases"] = [phase for phase in known["phases"] if phase in get_args(Phase)]
    return known


def _fields(value: Any, cls: type[Struct]) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: one for name, one in value.items() if name in cls.__struct_fields__}
