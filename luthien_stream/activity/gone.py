"""Ends in the record what a dead edge left open, since nothing will come for it any more.

A call that a stage polices is ended by the owner of its partition. A call that is relayed has nobody but its edge. What
is written is the same whoever writes it, so any number of recorders may look; the stage's calls are left alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog
from msgspec import Struct

from luthien_stream.activity.fold import SEQUENCE_BITS, Delivery, fold
from luthien_stream.activity.store import Store, StoreError
from luthien_stream.activity.waiting import wait_for_stop
from luthien_stream.bus import keys
from luthien_stream.bus.ids import order
from luthien_stream.bus.port import Bus
from luthien_stream.errors import BusError
from luthien_stream.events.log import ResponseFailed
from luthien_stream.events.pack import Pack

log = structlog.get_logger()

EVERY_S = 10.0
QUIET_S = 60.0
"""An edge without heartbeat whose inbox has not grown for so long is gone. Far more than a heartbeat's time to live."""
REACH_US = 2 * 3600 * 1_000_000
"""Calls that began longer before the edge's last word are not looked at: they have reached their deadline."""
LAST = f"{2 ** (63 - SEQUENCE_BITS) - 1}-{2**SEQUENCE_BITS - 1}"
"""The greatest entry id that the record can hold: should the edge speak again after all, its own end comes first."""


class _Silence(Struct):
    """Of an edge without heartbeat: the last entry of its inbox, and since when (monotonic) that has been so."""

    last: str
    since: float
    ended: bool = False


class GoneEdges:
    """Looks for edges that died; `quiet_s` in seconds of `now`, a monotonic clock."""

    def __init__(
        self,
        bus: Bus,
        store: Store,
        stop: asyncio.Event,
        *,
        quiet_s: float = QUIET_S,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus, self._store, self._stop = bus, store, stop
        self._quiet_s, self._now = quiet_s, now
        self._silent: dict[str, _Silence] = {}
        self._run_id = ""

    async def run(self) -> None:
        """Look again and again until stopped; an outage is left for the next time."""
        while not self._stop.is_set():
            try:
                await self.look()
            except (BusError, StoreError) as error:
                log.warning("gone_edges_unknown", error=type(error).__name__)
            await wait_for_stop(self._stop, EVERY_S)

    async def look(self) -> None:
        """Look once. Raises `BusError`, `StoreError`."""
        await self._listen()
        for edge, silence in self._silent.items():
            if silence.ended or self._now() - silence.since < self._quiet_s:
                continue
            lag = await self._bus.lag(keys.inbox(edge))
            if (lag.entries, lag.pending) == (0, 0):
                await self._end_calls(edge, silence.last)
                silence.ended = True

    async def _listen(self) -> None:
        """Bring the silences up to date. A restarted log may have forgotten heartbeats: all are counted anew."""
        edges = [edge for edge in map(_edge_of, await self._bus.streams()) if edge]
        alive = await self._bus.alive("edge")
        heard = {edge: await self._bus.last_id(keys.inbox(edge)) for edge in edges if edge not in alive}
        run_id = await self._bus.run_id()  # last: the same as before means that nothing above was forgotten
        before = self._silent if run_id == self._run_id else {}
        self._run_id = run_id
        self._silent = {
            edge: before[edge] if edge in before and before[edge].last == last else _Silence(last, self._now())
            for edge, last in heard.items()
        }

    async def _end_calls(self, edge: str, last: str) -> None:
        heard = order(last)[0] * 1000
        calls = [row["call_id"] for row in await self._store.fetch("left_open", edge, heard - REACH_US)]
        if calls:
            ends = Pack(f"activity:{edge}", [_end(call, heard) for call in calls])
            await self._store.write(fold([Delivery(keys.inbox(edge), LAST, ends)]))
            log.warning("calls_of_gone_edge_ended", edge=edge, calls=len(calls))


def _end(call: str, heard: int) -> ResponseFailed:
    """The end of one call, at the time when its edge was last heard."""
    message = "The edge of this call has no heartbeat any more"
    return ResponseFailed(call=call, n=0, time=heard, lane="final", error="edge_gone", message=message)


def _edge_of(stream: str) -> str:
    """Return the edge whose inbox this stream is, empty if it is another kind of stream."""
    edge = stream.removeprefix("ls:{").removesuffix("}:inbox")
    return edge if keys.inbox(edge) == stream else ""
