"""The filter language, as people know it from mitmproxy: `~m claude-* & ~v deny`, `!~s night`, `(~p a | ~p b) ~o x`.

A filter is a question about a call. What is not known of the call yet makes the answer unknown, which a live reading
takes for "not yet". See docs/filters.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

from msgspec import Struct

from luthien_stream.errors import LuthienError

FIELDS: Mapping[str, tuple[str, str]] = {
    "c": ("call", "the beginning of the call's id"),
    "m": ("model", "model"),
    "s": ("session", "session of an agent"),
    "u": ("user", "whom the request says it is for"),
    "k": ("key", "name of the gateway key"),
    "h": ("client", "client, as it names itself"),
    "f": ("format", "wire format"),
    "p": ("policy", "a policy that decided something"),
    "v": ("verdict", "a verdict: allow, score, rewrite, deny, hold, stop, failed"),
    "o": ("outcome", "how it ended: completed, failed, aborted, open"),
    "e": ("error", "the error it ended with"),
    "l": ("label", "what a person said of it: attack, benign"),
    "b": ("said", "text that a user or the model said (part of it, whatever its case)"),
    "t": ("type", "type of an event, as in verdict.reached (in a live reading)"),
}
"""Letter to the field of `Facts` and what it means. All take globs, but for `c` and `b`."""
_TOKEN = re.compile(r"""\s*(?:(~\w+)|([!&|()])|"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s!&|()"']+))""")


class BadFilter(LuthienError):
    """The filter cannot be read: the message names the place."""


class Term(Struct, frozen=True):
    """A field fits a pattern."""

    field: str
    pattern: str


class Not(Struct, frozen=True):
    """The opposite."""

    inner: Filter


class All(Struct, frozen=True):
    """Every one of them."""

    inner: tuple[Filter, ...]


class Any_(Struct, frozen=True):
    """At least one of them."""

    inner: tuple[Filter, ...]


Filter = Term | Not | All | Any_


class Facts(Struct):
    """What is known of a call (or of an event of it): values by field, None where that is not known yet."""

    call: str = ""
    model: Sequence[str] | None = None
    session: Sequence[str] | None = None
    user: Sequence[str] | None = None
    key: Sequence[str] | None = None
    client: Sequence[str] | None = None
    format: Sequence[str] | None = None
    policy: Sequence[str] | None = None
    verdict: Sequence[str] | None = None
    outcome: Sequence[str] | None = None
    error: Sequence[str] | None = None
    label: Sequence[str] | None = None
    said: Sequence[str] | None = None
    type: Sequence[str] | None = None


def parse(text: str) -> Filter:
    """Read a filter; an empty one fits everything. Raises `BadFilter`."""
    parser = _Parser(text)
    try:
        found = parser.any() if parser.left else All(())
    except RecursionError:
        raise BadFilter("The filter has more parentheses or ! within each other than can be read") from None
    if parser.left:
        raise parser.wrong("nothing belongs here")
    return found


def matches(filter: Filter, facts: Facts) -> bool | None:
    """Whether a call fits; None while it is not known."""
    match filter:
        case Term():
            return _fits(filter, facts)
        case Not():
            inner = matches(filter.inner, facts)
            return None if inner is None else not inner
        case All():
            answers = [matches(one, facts) for one in filter.inner]
            return False if False in answers else None if None in answers else True
        case Any_():
            answers = [matches(one, facts) for one in filter.inner]
            return True if True in answers else None if None in answers else False


def fields_of(filter: Filter) -> set[str]:
    """The fields that a filter asks for."""
    if isinstance(filter, Term):
        return {filter.field}
    inner = (filter.inner,) if isinstance(filter, Not) else filter.inner
    return set().union(*(fields_of(one) for one in inner)) if inner else set()


def _fits(term: Term, facts: Facts) -> bool | None:
    if term.field == "call":
        return facts.call.startswith(term.pattern)
    values: Sequence[str] | None = getattr(facts, term.field)
    if values is None:
        return None
    if term.field == "said":
        return any(term.pattern.lower() in value.lower() for value in values)
    return any(fnmatchcase(value, term.pattern) for value in values)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._read())
        self._at = 0

    @property
    def left(self) -> bool:
        return self._at < len(self._tokens)

    def any(self) -> Filter:
        found = [self.all()]
        while self._take("|"):
            found.append(self.all())
        return found[0] if len(found) == 1 else Any_(tuple(found))

    def all(self) -> Filter:
        found = [self.one()]
        while self.left and self._peek() not in ("|", ")"):
            self._take("&")
            found.append(self.one())
        return found[0] if len(found) == 1 else All(tuple(found))

    def one(self) -> Filter:
        if not self.left:
            raise self.wrong("something is missing")
        if self._take("!"):
            return Not(self.one())
        if self._take("("):
            inner = self.any()
            if not self._take(")"):
                raise self.wrong("`)` is missing")
            return inner
        kind, value, place = self._tokens[self._at]
        if kind == "sign":
            raise self.wrong(f"{value!r} does not belong here")
        self._at += 1
        if kind == "word" and value.startswith("~"):
            raise self.wrong("a letter is missing behind `~`", place)
        if kind == "word":
            return Term("call", value)
        if value[1:] not in FIELDS:
            known = ", ".join(f"~{letter} {field}" for letter, (field, _) in FIELDS.items())
            raise self.wrong(f"{value} is no field; there are {known}", place)
        return Term(FIELDS[value[1:]][0], self._argument(value))

    def _argument(self, name: str) -> str:
        if not self.left or self._tokens[self._at][0] != "word":
            raise self.wrong(f"{name} takes a value")
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _peek(self) -> str:
        kind, value, _ = self._tokens[self._at]
        return value if kind == "sign" else ""

    def _take(self, sign: str) -> bool:
        found = self.left and self._peek() == sign
        self._at += found
        return found

    def _read(self) -> Iterator[tuple[str, str, int]]:
        at = 0
        while at < len(self._text.rstrip()):
            token = _TOKEN.match(self._text, at)
            if token is None:
                raise BadFilter(f"The filter cannot be read at column {at + 1}: {self._text[at:][:20]!r}")
            field, sign, double, single, word = token.groups()
            if field:
                yield "field", field, token.start(1)
            elif sign:
                yield "sign", sign, token.start(2)
            elif word is not None:
                yield "word", word, token.start(5)
            else:
                quoted = double if double is not None else single
                yield "word", re.sub(r"\\(.)", r"\1", quoted), token.start()
            at = token.end()

    def wrong(self, what: str, place: int | None = None) -> BadFilter:
        """Return the error for the place that was reached."""
        if place is None:
            place = self._tokens[self._at][2] if self.left else len(self._text)
        return BadFilter(f"The filter cannot be read at column {place + 1}: {what}")
