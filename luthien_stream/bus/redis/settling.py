"""How a turn of an owner is written down for the settle script."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from luthien_stream.bus import keys
from luthien_stream.bus.limits import CLOSED_KEPT_MS, FOLD_TTL_MS
from luthien_stream.bus.port import Settlement
from luthien_stream.bus.redis.links import Command
from luthien_stream.bus.redis.replies import open_value
from luthien_stream.bus.redis.scripts import Scripts
from luthien_stream.core.program import Folded


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
    grows = settlement.effects or settlement.outputs or settlement.open or settlement.folds
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
        len(settlement.folds),
        *[part for folded in settlement.folds for part in _fold(folded)],
        len(settlement.closed),
        *settlement.closed,
    )


def _fold(folded: Folded) -> tuple[str | bytes | int, ...]:
    pack = msgspec.msgpack.encode
    key = keys.fold(folded.session, folded.name)
    return key, pack(folded.delta), folded.seen, pack(folded.state), FOLD_TTL_MS
