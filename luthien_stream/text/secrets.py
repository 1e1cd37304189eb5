"""What secrets look like: rules as data, and where in a text they match."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from msgspec import Struct

from luthien_stream.text.key_block import HEADER_TAIL
from luthien_stream.text.pattern import Anywhere, Several, compiled, either, literal


class Rule(Struct, frozen=True):
    """One kind of secret: a group of `pattern`, which is `group`, else the first that is in the match, else all."""

    name: str
    pattern: str
    keywords: tuple[str, ...] = ()
    """In small letters; one of them stands near every match. None: the rule is tried everywhere."""
    reach: int = 0
    """Characters before its last word at which a match may begin: what is said before a secret tells it. 0: a match
    has no white space."""
    group: int = 0
    entropy: float = 0.0
    """Bits per character that a secret has at least."""
    digits: bool = False
    """A secret has a digit and a letter: else it is a word, or the name of a variable."""
    unless: tuple[str, ...] = ()
    """Patterns that no secret has a match of."""
    unless_match: tuple[str, ...] = ()
    """The same of all that `pattern` matches."""
    stopwords: tuple[str, ...] = ()
    """In small letters; no secret has one of them."""


Span = tuple[int, int, str]
"""A secret in a text: its start, its end, and its rule."""


class _Known:
    """A rule, compiled."""

    __slots__ = ("_groups", "_pattern", "_unless", "_unless_match", "rule")

    def __init__(self, rule: Rule) -> None:
        self.rule, self._pattern = rule, compiled(rule.pattern)
        self._groups = (rule.group,) if rule.group else (*range(1, self._pattern.groups + 1), 0)
        self._unless = Anywhere(either(rule.unless)) if rule.unless else None
        self._unless_match = Anywhere(either(rule.unless_match)) if rule.unless_match else None

    def spans(self, text: str) -> Iterator[Span]:
        """All secrets of this kind."""
        for found in self._pattern.finditer(text):
            start, end = next((span for group in self._groups if (span := found.span(group))[0] >= 0), (-1, -1))
            if start < end and self._admits(text[start:end], text[found.start() : found.end()]):
                yield start, end, self.rule.name

    def _admits(self, secret: str, match: str) -> bool:
        """True if what the pattern found is a secret."""
        rule = self.rule
        if rule.digits and not (any(c.isdigit() for c in secret) and any(c.isalpha() for c in secret)):
            return False
        if rule.entropy and entropy(secret) < rule.entropy:
            return False
        if self._unless is not None and self._unless.found(secret):
            return False
        if self._unless_match is not None and self._unless_match.found(match):
            return False
        lowered = secret.lower()
        return not any(word in lowered for word in rule.stopwords)


class _Kinds:
    """Several rules together."""

    __slots__ = ("_any", "_kinds", "_which", "expression")

    def __init__(self, rules: Sequence[Rule], *, told_apart: bool) -> None:
        """`told_apart`: one automaton says which rules match. It takes much memory where they begin with anything."""
        self._kinds = [_Known(rule) for rule in rules]
        self.expression = either(rule.pattern for rule in rules)
        self._any = Anywhere(self.expression)
        self._which = Several([rule.pattern for rule in rules]) if told_apart else None

    def spans(self, text: str) -> list[Span]:
        """All secrets of all of them."""
        if not self._any.found(text):
            return []
        lowered = text.lower()
        spans: list[Span] = []
        for number in range(len(self._kinds)) if self._which is None else self._which.matching(text):
            words = self._kinds[number].rule.keywords
            if not words or any(word in lowered for word in words):
                spans += self._kinds[number].spans(text)
        return spans


class Finder:
    """Finds the secrets of some rules."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        """Raises `ValueError` for a pattern that RE2 does not take."""
        near = [rule for rule in rules if not rule.reach]
        far = [rule for rule in rules if rule.reach]
        self.reach = max((rule.reach for rule in far), default=0)
        """How far before a word to look."""
        self.always = any(not rule.keywords for rule in far)
        """Some rule over white space has no keyword."""
        words = f"(?i:{either(map(literal, sorted({word for rule in far for word in rule.keywords})))})"
        self._near, self._far, self._words = (
            _Kinds(near, told_apart=True),
            _Kinds(far, told_apart=False),
            Anywhere(words),
        )
        hint = either([self._near.expression, words, HEADER_TAIL])
        self._hint, self._hinted = compiled(hint), Anywhere(hint)

    def hints(self, text: str) -> bool:
        """True if anything calls for a closer look."""
        return self._hinted.found(text)

    def first_hint(self, text: str) -> int | None:
        """Where the first thing stands that calls for a closer look, None if there is none."""
        found = self._hint.search(text)
        return None if found is None else found.start()

    def word(self, text: str) -> bool:
        """True if a keyword of a rule over white space stands in a text."""
        return self._words.found(text)

    def near_spans(self, text: str) -> list[Span]:
        """All secrets in a text without white space."""
        return self._near.spans(text)

    def far_spans(self, text: str) -> list[Span]:
        """All secrets that what is said before them tells."""
        return self._far.spans(text)


def entropy(text: str) -> float:
    """Bits per character, after Shannon."""
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in Counter(text).values())
