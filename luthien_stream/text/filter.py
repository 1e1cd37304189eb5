"""Words and expressions in a text that streams by, each with what to do where it stands.

Each rule finds its matches from left to right, none over another of its own. Where matches of several rules overlap,
the one that begins first is replaced, and what the others have beyond it goes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from sys import maxsize
from typing import Literal, Protocol

from luthien_stream.policy.tail import Edit
from luthien_stream.text.pattern import Anywhere, compiled, readable

Action = Literal["mask", "stop", "flag"]
_BLOCK = 4096
"""Characters that are looked at together."""
_LONGEST_WORD = 200
_SPACELESS = 0x2E80
"""From here on most scripts are written without spaces: their words have no borders."""


class Finds(Protocol):
    """How one rule finds its matches."""

    def look(self, text: str, begin: int, closed: bool) -> tuple[int, Sequence[tuple[int, int]]]:
        """Return up to where all matches that begin at `begin` or later are known, and these; one character before
        `begin` is in the text, if there is one. More text may follow unless it is `closed`."""


class Words:
    """Finds words: whatever the case, the longest that begins at a place, and not inside other words."""

    def __init__(self, words: Sequence[str]) -> None:
        """Raises `ValueError` where one is empty or too long."""
        if not words or not all(words):
            raise ValueError("`words` has an empty word, or none")
        if any(len(word) > _LONGEST_WORD for word in words):
            raise ValueError(f"`words` has one of more than {_LONGEST_WORD} characters")
        folded = {_folded(word) for word in words}
        self._pattern = re.compile(_expression(folded, first=True), re.IGNORECASE)
        self._begun = {word[:size] for word in folded for size in range(1, len(word) + 1)}
        self._longest = max(map(len, folded))

    def look(self, text: str, begin: int, closed: bool) -> tuple[int, Sequence[tuple[int, int]]]:
        """Wait only where a word may have begun."""
        safe = len(text) if closed else max(begin, self._undecided(text))
        found: list[tuple[int, int]] = []
        while begin < safe and (match := self._pattern.search(text, begin)) is not None and match.start() < safe:
            found.append(match.span())
            begin = match.end()
        return safe, found

    def _undecided(self, text: str) -> int:
        tail = _folded(text[-self._longest :])
        for at in range(len(tail)):
            if tail[at:] in self._begun:
                return len(text) - len(tail) + at
        return len(text)


class Expression:
    """Finds a regular expression; a match has at most `longest` characters."""

    def __init__(self, expression: str, longest: int) -> None:
        """Raises `ValueError` for an expression that cannot be taken."""
        self._pattern, self._longest = compiled(expression, groups=False), longest
        self._anywhere = Anywhere(expression)
        self._window = max(2 * longest, 512)
        if self._pattern.match("") is not None:
            raise ValueError(f"{expression[:80]!r} matches nothing at all, so everywhere")

    def look(self, text: str, begin: int, closed: bool) -> tuple[int, Sequence[tuple[int, int]]]:
        """Wait for as many characters as a match can have."""
        safe = len(text) if closed else max(begin, len(text) - self._longest)
        found: list[tuple[int, int]] = []
        if safe <= begin or not self._anywhere.found(text[max(0, begin - 1) :]):
            return safe, found
        at = begin
        while at < safe:
            end = min(len(text), at + self._window)
            match = self._pattern.search(text, at, end)
            known = end if end == len(text) else end - self._longest  # what begins before is in the window whole
            if match is None or match.start() >= known:
                at = known
                continue
            start = match.start()
            if start >= safe:
                break
            within = self._pattern.match(text, start, min(len(text), start + self._longest))
            at = start + 1
            if within is not None and within.end() > start:
                at = within.end()
                found.append((start, at))
        return safe, found


class FilterRule:
    """A rule, ready to be used."""

    __slots__ = ("action", "finds", "name", "replacement")

    def __init__(self, name: str, finds: Finds, action: Action, replacement: str) -> None:
        self.name, self.finds, self.action, self.replacement = name, finds, action, replacement


class FilterScan:
    """Implements `Scan`."""

    __slots__ = ("_at", "_base", "_covered", "_known", "_next", "_note", "_over", "_rules", "_text", "edits")

    def __init__(self, rules: Sequence[FilterRule], note: Callable[[FilterRule], None]) -> None:
        """`note` is told of each match, in order."""
        self._rules, self._note = rules, note
        self._text, self._base = "", 0
        """What is not decided, with one character before it, and where that begins in the whole text."""
        self._at = 0
        """Up to where all is decided, in the whole text; so are the positions below."""
        self._covered = 0
        self._next = [0] * len(rules)
        """For each rule, from where its matches are not known."""
        self._known: list[tuple[int, int, int]] = []
        """Matches that are known and not decided: start, rule, end."""
        self._over = False
        self.edits: deque[Edit] = deque()

    def more(self, text: str) -> int:
        """Take what comes next; return how many characters are decided."""
        if len(text) <= _BLOCK:
            self._take(text, False)
        else:
            for at in range(0, len(text), _BLOCK):
                self._take(text[at : at + _BLOCK], False)
        return self._at

    def close(self) -> None:
        """Decide on all that is left."""
        self._take("", True)

    def _take(self, text: str, closed: bool) -> None:
        if self._over:
            self._at += len(text)
            return
        base = self._base
        self._text += readable(text)
        length = len(self._text)
        for index, rule in enumerate(self._rules):
            safe, found = rule.finds.look(self._text, self._next[index] - base, closed)
            if found:
                self._known += [(base + start, index, base + end) for start, end in found]
                safe = max(safe, found[-1][1])
            self._next[index] = base + safe
        self._decide(min(base + length, base + length if closed else min(self._next, default=base + length)))
        drop = max(0, self._at - base - 1)
        if drop:
            self._text, self._base = self._text[drop:], base + drop

    def _decide(self, safe: int) -> None:
        """Do what is to be done at all matches that begin before `safe`."""
        if self._known:
            self._known.sort()
            while self._known and self._known[0][0] < safe and not self._over:
                start, index, end = self._known.pop(0)
                self._match(self._rules[index], start, end)
        self._at = self._base + len(self._text) if self._over else max(self._at, safe)

    def _match(self, rule: FilterRule, start: int, end: int) -> None:
        self._note(rule)
        if rule.action == "flag":
            return
        begins = start >= self._covered
        start = max(start, self._covered)
        if rule.action == "stop":
            self._over = True
            self.edits.append((start, maxsize, ""))
        elif end > start:
            self.edits.append((start, end, rule.replacement if begins else ""))
            self._covered = end


def _expression(words: Iterable[str], *, first: bool = False) -> str:
    """The expression for what is left of words: one branch for each character, so that many words cost as few."""
    by_char: dict[str, set[str]] = {}
    for word in words:
        by_char.setdefault(word[:1], set()).add(word[1:])
    branches: list[str] = []
    for char in sorted(by_char, reverse=True):
        if not char:
            continue
        before = r"(?<!\w)" if first and _has_border(char) else ""
        behind = _expression(by_char[char]) if by_char[char] != {""} else ""
        ends = "" in by_char[char]
        border = r"(?!\w)" if ends and _has_border(char) else ""
        more = f"(?:{behind}|{border})" if behind and ends else behind or border
        branches.append(before + re.escape(char) + more)
    return "(?:" + "|".join(branches) + ")" if len(branches) != 1 else branches[0]


def _has_border(char: str) -> bool:
    return (char.isalnum() or char == "_") and ord(char) < _SPACELESS


def _folded(text: str) -> str:
    """The same text whatever the case, character for character."""
    if text.isascii():
        return text.lower()
    return "".join(folded if len(folded := char.casefold()) == 1 else char.lower()[:1] for char in text)
