"""The worker's bounds and periods, in seconds unless a name says otherwise."""

from __future__ import annotations

from msgspec import Struct


class Limits(Struct, frozen=True, kw_only=True):
    """Every number that the worker knows. Tests make them small."""

    lease_s: float = 5.0
    beat_s: float = 2.0
    beat_ttl_s: float = 6.0
    balance_s: float = 0.5
    drain_s: float = 20.0
    """How long a graceful stop may take."""

    block_s: float = 1.0
    """How long one read waits for entries."""
    read_entries: int = 64
    page_entries: int = 1000
    """Entries of one read in a rebuild."""
    kept_s: float = 5.0
    """How long settled turns are kept for a server that forgets its last moments."""
    seen_every: int = 64
    """Inputs of a silent call after which credit is sent without an output; a quarter of it goes with outputs. An edge
    waits at 256."""

    sweep_s: float = 1.0
    spill_every_s: float = 5.0
    spill_age_s: float = 30.0
    spill_entries: int = 10_000
    spill_extra_s: float = 3600.0
    """How long a spill outlives its call's deadline."""
    body_ttl_s: float = 1800.0
    log_age_s: float = 86_400.0
    """How long entries wait for an activity consumer that does not come."""
    log_kept_s: float = 30.0
    """How long entries that nobody needs are kept, so that who watches the log may be away for a moment."""
    log_kept_share: float = 0.3
    """Over this share of the server's memory they are not kept."""
    closed_s: float = 60.0

    retire_every_s: float = 10.0
    retire_after_s: float = 30.0
    """How long a stage is without workers before its calls are ended and its partitions dropped."""

    edge_ttl_s: float = 15.0
    """An edge without a heartbeat for this long is dead; nobody is reaped for as long after a server restart."""
    no_input_s: float = 1200.0
    """Twice the longest silence that an edge allows a provider."""

    stall_s: float = 5.0
    """How long one call may run without waiting; longer is an endless loop."""
    careful_after: int = 3
    """Owners that died without progress after which events are run one by one."""
    careful_s: float = 30.0
    """How long that goes on after the rebuild."""
    suspect_crashes: int = 2
    """Times an event may have been running when its owner died."""
