"""Regular expressions in time linear in the text, whoever wrote them: RE2, so none can be a bomb."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from luthien_stream.errors import ConfigError

try:
    import re2
except ImportError as error:
    raise ConfigError("This policy needs google-re2, which has wheels for Linux (glibc) and macOS") from error

_MEMORY = 64 << 20
"""Bytes that one expression may take, its automaton included: with less, a file of 220 rules is tried without one."""

_PROBE = "\ue000\ue001\ue000"
"""Characters that no script has: what tells whether an automaton works."""


class Match(Protocol):
    """Where an expression matched."""

    def start(self, group: int = 0) -> int: ...
    def end(self, group: int = 0) -> int: ...
    def span(self, group: int = 0) -> tuple[int, int]: ...


class Pattern(Protocol):
    """A compiled expression. `pos` and `endpos` bound where it may match; what lies around them is seen."""

    groups: int

    def search(self, text: str | bytes, pos: int | None = None, endpos: int | None = None) -> Match | None: ...
    def match(self, text: str, pos: int | None = None, endpos: int | None = None) -> Match | None: ...
    def finditer(self, text: str, pos: int | None = None, endpos: int | None = None) -> Iterator[Match]: ...


class Several:
    """Which of several expressions match anywhere in a text, in one pass over it."""

    __slots__ = ("_all", "_set")

    def __init__(self, expressions: Sequence[str]) -> None:
        """Raises `ValueError` for one that cannot be taken."""
        self._all = range(len(expressions))
        self._set = re2.Set.SearchSet(_options())
        for expression in expressions:
            compiled(expression)
            self._set.Add(expression)
        self._set.Compile()

    def matching(self, text: str) -> Sequence[int]:
        """The numbers of those that match, in order, given that one does; all of them where that is too much to ask."""
        return sorted(self._set.Match(text) or self._all)


class Anywhere:
    """Whether an expression matches anywhere in a text: a tenth of what it costs to ask where."""

    __slots__ = ("_pattern", "_set")

    def __init__(self, expression: str) -> None:
        """Raises `ValueError` for one that cannot be taken."""
        self._pattern = compiled(expression)
        self._set = re2.Set.SearchSet(_options())
        self._set.Add(expression)
        self._set.Add(_PROBE)
        self._set.Compile()
        if 1 not in (self._set.Match(_PROBE) or ()):
            self._set = None  # its automaton does not fit: a set says then that nothing matches

    def found(self, text: str) -> bool:
        """True if it does."""
        if self._set is None:
            return self._pattern.search(text) is not None
        return 0 in (self._set.Match(text) or ())


def compiled(expression: str, *, groups: bool = True) -> Pattern:
    """Compile an expression in RE2's syntax; without its groups it is faster. Raises `ValueError`: what is wrong."""
    options = _options()
    options.never_capture = not groups
    try:
        pattern: Pattern = re2.compile(expression, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        said = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise ValueError(f"{expression[:80]!r} is no regular expression for RE2: {said}") from error
    return pattern


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    return options


def either(expressions: Iterable[str]) -> str:
    """One expression that matches where any of `expressions` does."""
    return "|".join(f"(?:{one})" for one in expressions) or r"[^\x00-\x{10ffff}]"


def literal(text: str) -> str:
    """The expression that matches just this text."""
    return str(re2.escape(text))


def readable(text: str) -> str:
    """The same text, character for character, where half a surrogate pair, which has no encoding, is U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    return text
