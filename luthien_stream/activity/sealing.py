"""Seals calls that have ended: the digests of all their rows become one head, in the store and in a daily file.

Only digests are read for it, never frames. What comes for a call afterwards has it sealed again.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable

import structlog

from luthien_stream.activity.heads import HeadsFile
from luthien_stream.activity.sql import QUERIES
from luthien_stream.activity.store import Store, StoreError
from luthien_stream.activity.waiting import wait_for_stop
from luthien_stream.errors import ConfigError
from luthien_stream.record.links import Link, head_of, pack

log = structlog.get_logger()

EVERY_S = 2.0
QUIET_S = 5.0
"""Nothing came for a call for so long: it is sealed, if it has ended."""
LONGEST_S = 2 * 3600.0
"""So long after its last row a call is sealed even if it has no end."""
BATCH = 200
BACK_US = 26 * 3600 * 1_000_000
"""How far back a recorder looks for calls without a seal when it starts."""
MOST = 200_000
"""Calls that wait for their seal; of more, those are left to the next start."""


class Sealing:
    """See the module. Run `run` as a task; `touch` is told which calls got rows."""

    def __init__(
        self, store: Store, heads: HeadsFile, stop: asyncio.Event, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._heads, self._stop, self._now = store, heads, stop, now
        self._touched: dict[str, float] = {}
        self._quiet_s = QUIET_S

    def touch(self, calls: Iterable[str]) -> None:
        """Rows of these calls have been stored."""
        now = self._now()
        for call in calls:
            if call and len(self._touched) < MOST:
                self._touched[call] = now

    async def run(self) -> None:
        """Seal until stopped; an outage is waited out."""
        behind = True
        while not self._stop.is_set():
            try:
                if behind:
                    since = time.time_ns() // 1000 - BACK_US
                    self.touch(row["call_id"] for row in await self._store.fetch("unsealed_calls", since))
                    await self._file()
                    behind = False
                await self.look()
            except (StoreError, OSError, ConfigError) as error:
                log.warning("calls_not_sealed", error=type(error).__name__, why=str(error)[:200])
            await wait_for_stop(self._stop, EVERY_S)

    async def look(self, *, quiet_s: float | None = None) -> int:
        """Seal what has been quiet for long enough; return how many calls. Raises `StoreError`, `OSError`."""
        now, quiet = self._now(), self._quiet_s if quiet_s is None else quiet_s
        due = [call for call, at in self._touched.items() if now - at >= quiet][:BATCH]
        sealed = await self._seal(due) if due else 0
        for call in due:
            at = self._touched.pop(call)
            if call in self._open and now - at < LONGEST_S:
                self._touched[call] = at
        if sealed:
            await self._file()
        return sealed

    _open: frozenset[str] = frozenset()
    """Of the last calls looked at those that have no end yet."""

    async def _seal(self, calls: list[str]) -> int:
        links: defaultdict[str, list[Link]] = defaultdict(list)
        ended: set[str] = set()
        for row in await self._store.fetch("links_of", calls):
            if row["ends"]:
                ended.add(row["call_id"])
            digest = bytes(row["digest"] or b"")
            links[row["call_id"]].append(Link(row["kind"], row["src"], row["n"], row["key"], digest))
        now = self._now()
        late = {call for call in calls if now - self._touched.get(call, now) >= LONGEST_S}
        self._open = frozenset(set(calls) - ended - late)
        ready = [call for call in calls if call in links and call not in self._open]
        if ready:
            heads, packed = [head_of(links[call]) for call in ready], [pack(links[call]) for call in ready]
            counts, times = [len(links[call]) for call in ready], [time.time_ns() // 1000] * len(ready)
            await self._store.fetch("put_seals", ready, heads, packed, counts, times)
        return len(ready)

    async def _file(self) -> None:
        """Write the heads that are in no file yet; again, should the last words about it have been lost."""
        while True:
            async with self._store.transaction() as connection:
                rows = await connection.fetch(QUERIES["unfiled_seals"])
                if not rows:
                    return
                heads = [(row["call_id"], bytes(row["head"]), row["rows"]) for row in rows]
                await asyncio.to_thread(self._heads.write, heads)
                await connection.execute(QUERIES["seals_filed"], [call for call, _, _ in heads])
