"""An opinion in one number: what a judge gives unless asked for something else."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class Score(Struct, frozen=True, forbid_unknown_fields=True):
    """How suspicious something is, 0 to 1. As a gate's verdict it is recorded, and the call is let through."""

    score: Annotated[float, Meta(ge=0, le=1)]
    reason: str = ""
