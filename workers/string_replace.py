"""Replace strings in text, wherever the provider cut it. Of two that match at one place the first listed wins.

What a replacement says is never looked at again. Only text that may be the beginning of a match is held.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from luthien_stream.policy import Edit, TextPolicy


class StringReplace(TextPolicy, dict=True):
    """`replace: [[from, to], ...]`, literal and case-sensitive."""

    replace: list[tuple[str, str]]

    def __post_init__(self) -> None:
        sources = [source for source, _ in self.replace]
        if not all(sources):
            raise ValueError("`replace` has an empty string to look for")
        self._pattern = re.compile("|".join(map(re.escape, sources)) or r"(?!)")
        self._targets = dict(reversed(self.replace))
        self._beginnings = {source[:end] for source in sources for end in range(1, len(source))}
        self._longest = max(map(len, sources), default=1) - 1

    def edits(self, text: str, closed: bool) -> tuple[int, Sequence[Edit]]:
        """Find all matches; hold what may begin another one."""
        edits = [(found.start(), found.end(), self._targets[found.group()]) for found in self._pattern.finditer(text)]
        return (len(text) if closed else self._decided(text)), edits

    def _decided(self, text: str) -> int:
        for held in range(min(self._longest, len(text)), 0, -1):
            if text[-held:] in self._beginnings:
                return len(text) - held
        return len(text)
