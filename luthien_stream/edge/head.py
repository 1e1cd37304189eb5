"""What is known of a provider's answer before its content."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from luthien_stream.events.log import Header

Kind = Literal["frame", "rest", "body"]


class Head(Struct, frozen=True):
    """Status and headers of the provider's answer, as they came."""

    status: int
    headers: tuple[Header, ...]
    streamed: bool
