"""Reading positions: a position is the last id that was read, so reading *from* an id needs the one before it."""

from __future__ import annotations

from collections.abc import Iterable

from luthien_stream.bus.ids import order, text
from luthien_stream.bus.port import START, Open

LAST_SEQUENCE = 2**64 - 1


def preceding(id: str) -> str:
    """Return the greatest id below `id`."""
    milliseconds, sequence = order(id)
    if sequence:
        return text((milliseconds, sequence - 1))
    return text((milliseconds - 1, LAST_SEQUENCE)) if milliseconds else START


def rebuild_from(opened: Iterable[Open], cursor: str) -> str:
    """Return the position from which a new owner reads: before the oldest open call, else the cursor."""
    return min([cursor, *(preceding(call.first) for call in opened)], key=order)
