"""How far long work has come: one line on a terminal that renews itself, elsewhere a plain line every few seconds."""

from __future__ import annotations

import sys
import time

TERMINAL_S, PLAIN_S = 0.2, 10.0


class Progress:
    """Counts steps of work; `total` 0 where nobody knows. Writes to standard error."""

    def __init__(self, what: str, total: int = 0) -> None:
        self._what, self._total = what, total
        self._done = 0
        self._began = self._last = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._shown = False

    def step(self, count: int = 1) -> None:
        """So much more is done."""
        self._done += count
        now = time.monotonic()
        if now - self._last < (TERMINAL_S if self._terminal else PLAIN_S):
            return
        self._last = now
        line = self._line(now - self._began)
        sys.stderr.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
        sys.stderr.flush()
        self._shown = self._terminal

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False

    def _line(self, seconds: float) -> str:
        rate = self._done / seconds if seconds else 0.0
        if not self._total:
            return f"{self._done} {self._what}, {rate:.0f}/s"
        left = (self._total - self._done) / rate if rate else 0.0
        return f"{self._done} of {self._total} {self._what}, {rate:.0f}/s, {left:.0f} s left"
