"""What all records of the log have in common. Times are microseconds since 1970, UTC."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

Lane = Literal["original", "final"]
Header = tuple[str, str]


class LogEvent(
    Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="type", tag=lambda name: name
):
    """What all events have in common."""

    call: str
    n: int = -1
    time: int = 0
    prev: int = -1
    cause: str = ""
    trace: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    """Fields that this release does not know, or knows in part; written again as they came."""
