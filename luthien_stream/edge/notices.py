"""Telling people elsewhere that a call waits for them: a POST to each address under `notify`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import structlog

from luthien_stream.edge.call import Call
from luthien_stream.events.log import CallHeld

log = structlog.get_logger()

QUEUED = 1_000
"""Notices that may wait; more are given up, on record."""
TRIES = 3
DEADLINE_S = 5.0
GRACE_S = 0.5
"""A call that an approval lets go at once is no news."""
PAUSES_S = (1.0, 3.0)


class Notices:
    """The notices of one edge. Run `run` as a task."""

    def __init__(self, addresses: Sequence[str], calls: Mapping[str, Call]) -> None:
        """`calls` is a live view of the open ones."""
        self._addresses, self._calls = addresses, calls
        self._queue: asyncio.Queue[CallHeld] = asyncio.Queue(QUEUED)

    def put(self, event: CallHeld) -> None:
        """Tell of a call that is held, soon."""
        if not self._addresses:
            return
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            log.error("notice_lost", call=event.call, why="too many wait")

    async def run(self) -> None:
        """Send what waits until cancelled."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DEADLINE_S), trust_env=True) as http:
            while True:
                event = await self._queue.get()
                await asyncio.sleep(GRACE_S)
                call = self._calls.get(event.call)
                if call is not None and call.waits.held_until and not call.over:
                    await asyncio.gather(*(self._send(http, address, event) for address in self._addresses))

    async def _send(self, http: aiohttp.ClientSession, address: str, event: CallHeld) -> None:
        why = ""
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(PAUSES_S[attempt - 1])
            try:
                async with http.post(address, json=notice(event), allow_redirects=False) as answer:
                    if answer.status < 300:
                        return
                    why = f"status {answer.status}"
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                why = type(error).__name__
        # Only the host: path, query and user may be a secret that lets anybody write there.
        log.error("notice_failed", call=event.call, host=urlsplit(address).hostname, tries=TRIES, why=why)


def notice(event: CallHeld) -> dict[str, Any]:
    """What is sent: the question as it is on record, and how to answer it."""
    subject = {name: value for name, value in event.subject.items() if name != "digest"}
    return {
        **subject,
        "event": "call.held",
        "call": event.call,
        "key": event.key,
        "deadline": event.deadline,
        "digest": event.subject.get("digest", ""),
        "show": f"luthien-stream approvals show {event.call}",
        "approve": f"luthien-stream approvals approve {event.call}",
        "reject": f"luthien-stream approvals reject {event.call}",
    }
