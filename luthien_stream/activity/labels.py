"""What people say of calls: `attack` or `benign`, for backtests to count by."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from luthien_stream.activity.store import Store


async def put_label(store: Store, calls: Iterable[str], label: str, *, by: str = "", note: str = "") -> int:
    """Label calls; a label that was there before is replaced. Returns how many calls are labelled now."""
    ids = list(calls)
    await store.fetch("put_labels", ids, label, by, note, time.time_ns() // 1000)
    return len(ids)


async def drop_label(store: Store, calls: Iterable[str]) -> int:
    """Take labels away; return how many there were."""
    return len(await store.fetch("drop_labels", list(calls)))


async def list_labels(store: Store) -> Sequence[Mapping[str, Any]]:
    """All labels, newest first: call_id, label, by, note, time (microseconds)."""
    return await store.fetch("labels")
