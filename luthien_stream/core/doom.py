"""Why a call is to be ended early."""

from __future__ import annotations

from msgspec import Struct


class Doom(Struct, frozen=True):
    """A call is to be ended as soon as its whole log has been read."""

    reason: str
    message: str
    gently: bool = True
    """The program closes what is open; False where it cannot be trusted to."""
    by: str = ""
    """The person who wants it, if one does."""
