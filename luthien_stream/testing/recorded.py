"""An answer given byte for byte: what no `Answer` can say, such as server-side tools, citations, and odd providers."""

from __future__ import annotations

from msgspec import Struct


class Recorded(Struct, frozen=True):
    """One answer in one format."""

    stream: tuple[bytes, ...]
    """The frames."""
    body: bytes
    """The same unstreamed."""
