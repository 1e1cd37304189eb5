"""Which partition a call belongs to."""

from __future__ import annotations

from zlib import crc32

PARTITIONS = 4
"""Partitions of a stage. The routing slip keeps the number, so that another count never splits an open call."""


def partition_of(call: str, partitions: int = PARTITIONS) -> int:
    """The partition of a call: `crc32(call id) mod partitions`."""
    return crc32(call.encode()) % partitions
