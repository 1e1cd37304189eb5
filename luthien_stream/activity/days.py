"""The days that rows belong to: partitions are made before they are needed. Pure, but for `DAY`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from luthien_stream.activity.rows import Rows
from luthien_stream.core.accept import made_ms

DAY = timedelta(days=1)
_LAST_MS = 253_402_214_400_000
"""31 December 9999: what lies behind has no date."""


def day_of(call: str) -> date | None:
    """The day (UTC) of a call id, None for one that is no UUIDv7: that is kept beside the days."""
    made = made_ms(call)
    if made is None or len(call) != 36 or made >= _LAST_MS:
        return None
    return datetime.fromtimestamp(made / 1000, UTC).date()


def days_of(rows: Rows) -> set[date]:
    """The days of all rows of a batch."""
    calls: Iterable[str] = {row.call_id for table in (rows.calls, rows.events, rows.runs) for row in table}
    return {day for day in map(day_of, calls) if day is not None}


def first_id(milliseconds: int) -> str:
    """The first call id of a moment (milliseconds since 1970)."""
    digits = f"{max(0, milliseconds):012x}"
    return f"{digits[:8]}-{digits[8:]}"
