"""What the fake provider keeps of a request, for tests to look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct, field


class Seen(Struct):
    """One request as it arrived, and what became of it."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    sent: list[bytes] = field(default_factory=list)
    """Frames written so far (one body if not streamed), as they went out."""
    ended: Literal["", "complete", "gone", "broken"] = ""
    """`gone`: the client closed the connection first; `broken`: we did."""

    @property
    def json(self) -> Any:
        """The parsed body."""
        return msgspec.json.decode(self.body)
