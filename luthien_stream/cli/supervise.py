"""Keep children alive: start again what ends, give up on what ends again and again, stop all of it in order."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

import structlog

from luthien_stream.cli.child import Child
from luthien_stream.errors import LuthienError

log = structlog.get_logger()

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 5.0
DEATHS = 5
WITHIN_S = 60.0


class GaveUp(LuthienError):
    """A child ended again and again."""


class Deaths:
    """When a child ended of late: says how long to wait before the next start, or that it is enough."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: deque[float] = deque(maxlen=DEATHS)

    def count(self) -> float | None:
        """Note one; the seconds to wait, or None when it was one too many."""
        now = self._clock()
        self._times.append(now)
        recent = sum(now - time < WITHIN_S for time in self._times)
        return None if recent >= DEATHS else min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** (recent - 1))


async def keep(child: Child) -> None:
    """Start a running `child` again whenever it ends. Never returns; raises `GaveUp` with the child's last lines."""
    deaths = Deaths()
    how = await child.ended()
    while (delay := deaths.count()) is not None:
        log.warning("child_ended", child=child.name, how=how, again_in_s=delay)
        await asyncio.sleep(delay)
        try:
            await child.start()
            how = await child.ended()
        except LuthienError as error:
            how = str(error)
    words = "".join(f"\n  {line}" for line in child.last_words())
    raise GaveUp(f"{child.name} ended {DEATHS} times within a minute, the last time with {how}. Its last lines:{words}")


class Fleet:
    """All children by rank. Those of one rank are stopped together, the ranks one after the other."""

    def __init__(self) -> None:
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        """Done when a child was given up."""
        self._ranks: dict[int, list[Child]] = {}
        self._keeping: dict[str, asyncio.Task[None]] = {}

    async def start(self, child: Child, *, rank: int) -> None:
        """Start `child` and keep it from then on; rank 0 is stopped first."""
        self._ranks.setdefault(rank, []).append(child)
        await child.start()
        task = asyncio.create_task(keep(child), name=f"keep {child.name}")
        task.add_done_callback(self._note)
        self._keeping[child.name] = task

    def _note(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and not self.failed.done():
            self.failed.set_result(task.exception() or GaveUp())

    async def stop(self) -> None:
        """Stop all in the order of their ranks."""
        for rank in sorted(self._ranks):
            children = self._ranks[rank]
            keeping = [self._keeping[child.name] for child in children if child.name in self._keeping]
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)
            await asyncio.gather(*(child.stop() for child in children))

    def kill(self) -> None:
        """End all of them now; a running `stop` then returns soon."""
        for children in self._ranks.values():
            for child in children:
                child.kill()
