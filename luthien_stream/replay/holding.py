"""How long frames were held: from arrival to release."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping


class Holding:
    """Released frames in order; times are microseconds.

    A frame that a policy made has no arrival of its own: it counts from the first frame that came after the last
    release before this one, which is what the client was waiting for.
    """

    def __init__(self, arrived: Mapping[int, int]) -> None:
        self._arrived = arrived
        self._times = sorted(arrived.values())
        self._before = self._now = 0

    def release(self, of: int, time: int) -> int:
        """How long the frame `of` (-1: one that was made) that left now was held."""
        if time > self._now:
            self._before, self._now = self._now, time
        since = self._arrived.get(of)
        if since is None:
            place = bisect_right(self._times, self._before)
            since = self._times[place] if place < len(self._times) else time
        return max(0, time - since)
