"""Words and expressions in a text that streams by, each with what to do where it stands.

Each rule finds its matches from left to right, none over another of its own. Where matches of several rules overlap,
the one that begins first is replaced, and what the others have beyond it goes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from sys import maxsize
from typing import Literal, Protocol

from luthien_stream.policy.tail import Edit
from luthien_stream.text.pattern import compiled, either, literal, readable

Action = Literal["mask", "stop", "flag"]
_BLOCK = 4096
"""Characters that are looked at together."""
_WORD = r"[^\pL\pM\pN_]"
"""What is no part of a word."""
_LETTER = "\u02e3"
"""A letter (a raised x) that stands for any."""
_SPACELESS = 0x2E80
"""From here on most scripts are written without spaces: their words have no borders."""


class Finds(Protocol):
    """How one rule finds its matches."""

    def look(self, text: str, begin: int, closed: bool) -> tuple[int, Sequence[tuple[int, int]]]:
        """Return up to where all matches that begin at `begin` or later are known, and these; one character before
        `begin` is in the text, if there is one. More text may follow unless it is `closed`."""


class Words:
    """Finds words: whatever the case, and not inside other words."""

    def __init__(self, words: Sequence[str]) -> None:
        """Raises `ValueError` where one is empty."""
        if not words or not all(words):
            raise ValueError("`words` has an empty word, or none")
        ordered = sorted(words, key=len, reverse=True)
        self._pattern = compiled(either(_bordered(word) for word in ordered), any_case=True)
        self._groups = range(1, len(ordered) + 1)
        self._begun = {_folded(word)[:size] for word in words for size in range(1, len(word) + 1)}
        self._longest = len(ordered[0])

    def look(self, text: str, begin: int, closed: bool) -> tuple[int, Sequence[tuple[int, int]]]:
        """Wait only where a word may have begun."""
        safe = len(text) if closed else max(begin, self._undecided(text))
        found: list[tuple[int, int]] = []
        at = begin
        while at < safe and (match := self._pattern.search(_from(text, at))) is not None:
            start, end = next(match.span(group) for group in self._groups if match.start(group) >= 0)
            offset = max(0, at - 1)
            if offset + start >= safe:
                break
            at = offset + end
            found.append((offset + start, at))
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
        self._pattern, self._longest = compiled(expression), longest
        if self._pattern.match("") is not None:
            raise ValueError(f"{expression[:80]!r} matches nothing at all, so everywhere")

    def look(self, text: str, begin: int, closed: bool) -> tuple[int, Sequence[tuple[int, int]]]:
        """Wait for as many characters as a match can have."""
        safe = len(text) if closed else max(begin, len(text) - self._longest)
        found: list[tuple[int, int]] = []
        at = begin
        while at < safe and (match := self._pattern.search(text, at)) is not None:
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
        for index, rule in enumerate(self._rules):
            begin = self._next[index] - base
            safe, found = rule.finds.look(self._text, begin, closed)
            self._known += [(base + start, index, base + end) for start, end in found]
            self._next[index] = max(base + safe, *(base + end for _, end in found)) if found else base + safe
        safe = min((place for place in self._next), default=base + len(self._text))
        self._decide(base + len(self._text) if closed else min(safe, base + len(self._text)))
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


def _bordered(word: str) -> str:
    """The expression for one word, which is its one group."""
    before = f"(?:^|{_WORD})" if _has_border(word[0]) else ""
    behind = f"(?:$|{_WORD})" if _has_border(word[-1]) else ""
    return f"{before}({literal(word)}){behind}"


def _from(text: str, at: int) -> str:
    """What begins at a place, behind a character of the kind that stands before it and that no word has."""
    if not at:
        return text
    return (_LETTER if _has_border(text[at - 1]) else "\n") + text[at:]


def _has_border(char: str) -> bool:
    return (char.isalnum() or char == "_") and ord(char) < _SPACELESS


def _folded(text: str) -> str:
    """The same text whatever the case, character for character."""
    if text.isascii():
        return text.lower()
    return "".join(folded if len(folded := char.casefold()) == 1 else char.lower()[:1] for char in text)
