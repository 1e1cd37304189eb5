"""The routing slip that every call carries: through which stages it goes, and who writes its final lane."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Phase = Literal["request", "response"]


class Hop(Struct, omit_defaults=True):
    """One stage of a call's way: the stage's key, its partition, and the phases it runs."""

    stage: str
    partition: int
    phases: tuple[Phase, ...] = ("request", "response")


class Slip(Struct, omit_defaults=True):
    """The routing slip: fixed when the call opens, for the whole call."""

    version: str = ""
    hops: tuple[Hop, ...] = ()
    final_by: str = "edge"
    """The one writer of the final lane: `edge`, or the source name of the last stage that runs the response phase."""
