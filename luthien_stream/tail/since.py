"""Times as people write them: how long ago, or when."""

from __future__ import annotations

import re
import time
from datetime import datetime

from luthien_stream.errors import ConfigError

SPAN = re.compile(r"(\d{1,9})\s*([smhd])", re.ASCII)
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class NoTime(ConfigError):
    """A time that cannot be understood."""


def parse_since(text: str, now: float | None = None) -> int:
    """Return `10m` (ago; s, m, h, d) or an ISO time (local if it names no zone) in microseconds. Raises `NoTime`."""
    age = SPAN.fullmatch(text.strip())
    if age:
        seconds = (time.time() if now is None else now) - int(age[1]) * SECONDS[age[2]]
        return max(0, int(seconds * 1e6))
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1e6)
    except (ValueError, OverflowError):
        raise NoTime(f"{text!r} is no time: write 10m, 2h, or 2026-01-31T12:00") from None
