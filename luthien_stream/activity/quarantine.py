"""Setting poison aside: finds the one event that cannot be stored, and puts it among the dead letters.

A batch that PostgreSQL refuses is halved until the refusal is about a single event; all others are stored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from luthien_stream.activity.fold import Delivery
from luthien_stream.activity.store import StoreRefused
from luthien_stream.errors import PackError
from luthien_stream.events.pack import Pack, encode_event, type_of

AUTHOR = b"activity"
"""`by` of the dead letters written here: these can be tried again."""

Write = Callable[[Sequence[Delivery]], Awaitable[None]]
SetAside = Callable[[dict[str, bytes]], Awaitable[None]]


async def write_or_set_aside(batch: Sequence[Delivery], write: Write, set_aside: SetAside) -> int:
    """Write the batch but for its poison, and return how many events were set aside. Raises what is no refusal."""
    try:
        await write(batch)
        return 0
    except (StoreRefused, PackError) as error:
        halves = _halves(batch)
        if not halves:
            await set_aside(letter_of_event(batch[0], error))
            return 1
    return sum([await write_or_set_aside(half, write, set_aside) for half in halves])


def _halves(batch: Sequence[Delivery]) -> list[Sequence[Delivery]]:
    """Two halves of the batch, by entries first and then by the events of one entry; none if it is a single event."""
    if len(batch) > 1:
        middle = len(batch) // 2
        return [batch[:middle], batch[middle:]]
    [only] = batch
    events, middle = only.pack.events, len(only.pack.events) // 2
    if len(events) < 2:
        return []
    return [
        [msgspec.structs.replace(only, pack=Pack(only.pack.src, part))] for part in (events[:middle], events[middle:])
    ]


def letter_of_event(delivery: Delivery, error: Exception) -> dict[str, bytes]:
    """Return the dead letter of the delivery's one event."""
    [event] = delivery.pack.events
    return {
        **_letter(delivery.stream, delivery.id, error),
        "call": event.call.encode(errors="replace"),
        "type": type_of(event).encode(errors="replace"),
        "src": delivery.pack.src.encode(errors="replace"),
        "event": encode_event(event),
    }


def letter_of_entry(stream: str, id: str, raw: bytes, error: Exception) -> dict[str, bytes]:
    """Return the dead letter of a stream entry that is no pack."""
    return {**_letter(stream, id, error), "raw": raw}


def _letter(stream: str, id: str, error: Exception) -> dict[str, bytes]:
    return {
        "by": AUTHOR,
        "stream": stream.encode(),
        "entry": id.encode(),
        "error": type(error).__name__.encode(),
        "message": str(error).encode(errors="replace")[:500],
    }
