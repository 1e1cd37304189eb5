"""Ending calls that nobody waits for: the owner of a partition is the only one who does."""

from __future__ import annotations

from luthien_stream.core.stagecall import Doom
from luthien_stream.worker.limits import Limits
from luthien_stream.worker.partition import OpenCall, Partition
from luthien_stream.worker.presence import Presence


def reap(partition: Partition, presence: Presence, now: int, limits: Limits) -> int:
    """Doom calls whose time has passed (`now` in microseconds); return how many."""
    doomed = 0
    for call in list(partition.calls.values()):
        doom = _why(call, presence, now, limits)
        if doom is not None and call.doom is None:
            partition.doom(call, doom)
            doomed += 1
    return doomed


def _why(call: OpenCall, presence: Presence, now: int, limits: Limits) -> Doom | None:
    if 0 < call.deadline <= now:
        return Doom("deadline", "The call's deadline has passed")
    silent_s = (now - call.heard) / 1e6
    # A later stage waits longer: the terminal event of the stage before it should come first.
    patience_s = limits.edge_ttl_s * (2 if call.intake.chained else 1)
    if silent_s > patience_s and presence.is_gone(call.edge):
        return Doom("edge_gone", "The edge of this call has no heartbeat")
    if silent_s > limits.no_input_s and not call.wants():
        return Doom("no_input", "Nothing has come for this call for too long")
    return None
