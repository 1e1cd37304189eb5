"""How a turn of an owner is written down for the settle script."""

from __future__ import annotations

from functools import lru_cache

from luthien_stream.bus import keys
from luthien_stream.bus.limits import CLOSED_KEPT_MS
from luthien_stream.bus.port import Settlement
from luthien_stream.bus.redis.links import Command
from luthien_stream.bus.redis.replies import open_value
from luthien_stream.bus.redis.scripts import Scripts


@lru_cache(maxsize=256)
def _names(partition: str) -> tuple[str, ...]:
    return (
        keys.partition_stream(partition),
        keys.state(partition),
        keys.open_calls(partition),
        keys.closed_calls(partition),
    )


def settle_command(scripts: Scripts, partition: str, settlement: Settlement) -> Command:
    """Return the command of a turn. One that adds nothing is executed by a full server too."""
    grows = settlement.effects or settlement.outputs or settlement.open
    opened = [part for call, value in settlement.open.items() for part in (call, open_value(value))]
    return scripts.command(
        "settle" if grows else "close",
        (*_names(partition), *[stream for stream, _ in settlement.outputs]),
        settlement.owner,
        settlement.turn,
        settlement.cursor,
        settlement.effects,
        keys.spill(partition, ""),
        CLOSED_KEPT_MS * 1000,
        len(settlement.outputs),
        *[raw for _, raw in settlement.outputs],
        len(settlement.open),
        *opened,
        len(settlement.closed),
        *settlement.closed,
    )
