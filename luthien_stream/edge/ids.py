"""Call ids: UUIDv7, so that they sort by time and tell when a call began."""

from __future__ import annotations

import os
import time
import uuid


def new_call() -> str:
    """Return a fresh call id."""
    return uuid7(time.time_ns(), os.urandom(8))


def uuid7(now_ns: int, chance: bytes) -> str:
    """Build a UUIDv7 from a time (nanoseconds since 1970) and 8 bytes of chance; 12 bits are the time below 1 ms."""
    milliseconds, rest = divmod(now_ns, 1_000_000)
    low = int.from_bytes(chance, "big") & ((1 << 62) - 1)
    value = (milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76 | (rest * 4096 // 1_000_000) << 64 | 0b10 << 62 | low
    return str(uuid.UUID(int=value))
