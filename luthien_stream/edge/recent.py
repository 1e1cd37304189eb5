"""What ended calls asked, for the stage beside them that still wants a judge: for a while, and bounded."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from luthien_stream.edge.asked import Asked

KEPT_S = 120.0
"""For how long."""
KEPT_CALLS = 1000
KEPT_BYTES = 32 << 20
"""Of the requests' bodies, at most; the oldest go first."""


class Recent:
    """See the module. `now` gives seconds that never go back."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._kept: OrderedDict[str, tuple[float, int, Asked]] = OrderedDict()
        self.size = 0
        """Bytes that are kept."""

    def keep(self, call: str, asked: Asked) -> None:
        """Keep what a call asked that has just ended."""
        size = len(asked.view.body) + len(asked.published.body)
        self._kept[call] = self._now(), size, asked
        self.size += size
        while self._kept and self._has_too_much():
            _, (_, gone, _) = self._kept.popitem(last=False)
            self.size -= gone

    def find(self, call: str) -> Asked | None:
        """What an ended call asked; None if that is too long ago."""
        found = self._kept.get(call)
        return None if found is None or self._is_old(found) else found[2]

    def _has_too_much(self) -> bool:
        oldest = next(iter(self._kept.values()))
        return len(self._kept) > KEPT_CALLS or self.size > KEPT_BYTES or self._is_old(oldest)

    def _is_old(self, kept: tuple[float, int, Asked]) -> bool:
        return self._now() - kept[0] >= KEPT_S
