"""How far a backtest is, on standard error: calls and chunks a second, and how long it will still take."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from time import monotonic

from luthien_stream.replay.case import Case

_OFTEN_S, _SELDOM_S = 0.5, 10.0
"""On a terminal, where it writes over itself, and elsewhere, in lines."""


class News:
    """Progress of so many calls."""

    def __init__(self, calls: int) -> None:
        self._calls, self._began = calls, monotonic()
        self._terminal = sys.stderr.isatty()
        self._done = self._chunks = 0
        self._next = self._began + (_OFTEN_S if self._terminal else _SELDOM_S)

    def tell(self, cases: Sequence[Case]) -> None:
        """Count, and say it now and then."""
        self._done += len(cases)
        self._chunks += sum(case.chunks for case in cases)
        now = monotonic()
        if now < self._next:
            return
        self._next = now + (_OFTEN_S if self._terminal else _SELDOM_S)
        line = self._line(now - self._began)
        sys.stderr.write(f"\r\033[K{line}" if self._terminal else f"{line}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Say what it came to, and how fast."""
        took = monotonic() - self._began
        if self._terminal or took >= _SELDOM_S:
            start = "\r\033[K" if self._terminal else ""
            sys.stderr.write(f"{start}{self._done} calls in {took:.1f} s: {self._speed(took)}\n")

    def _line(self, took: float) -> str:
        left = took / self._done * (self._calls - self._done) if self._done else 0.0
        return f"{self._done} of {self._calls} calls, {self._speed(took)}, {left:.0f} s left"

    def _speed(self, took: float) -> str:
        return f"{self._done / took:.0f} calls/s, {self._chunks / took:.0f} chunks/s"
