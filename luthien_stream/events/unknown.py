"""What stands for an event of a newer release, so that it is carried on as it came."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Unknown(Struct):
    """An event of a type, or with a choice, that this release does not know: its fields as they came."""

    fields: dict[str, Any]

    @property
    def call(self) -> str:
        """The call it belongs to, empty if it names none."""
        return str(self.fields.get("call", ""))

    @property
    def n(self) -> int:
        """Its ordinal, -1 if it carries none."""
        return int(self.fields.get("n", -1))

    @property
    def prev(self) -> int:
        """The digest of the lane before it, -1 if it carries none."""
        return int(self.fields.get("prev", -1))

    @property
    def time(self) -> int:
        """When it happened, microseconds."""
        return int(self.fields.get("time", 0))
