"""What a text of SQL would do, statement by statement, whatever the database."""

from __future__ import annotations

import logging
import re
from functools import cache
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from luthien_stream.actions.sql.readings import DIALECTS, OTHERS, as_read_by, is_tricky
from luthien_stream.actions.sql.statement import Level, Statement, statement_of

LONGEST: Final = 65_536
"""Characters of one text that are parsed: a quarter of a second's work."""
_UNKNOWN, _NESTED = "no SQL that can be read", "SQL that is nested too deeply"
LONGEST_TRICKY: Final = 32_768
"""The same where each dialect has a reading of its own."""
MOST_TOKENS: Final = 16_384
DEEPEST: Final = 16
"""Brackets and CASE that may be open at once, and NOT or minus in a row: fewer than a full stack ever needs."""
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # it logs statements that it cannot parse
_EXPLAIN = re.compile(
    r"\w+\b(?P<how>.*?)\b(?P<rest>(?:select|with|insert|update|delete|replace|merge|values|create|drop|exec|call|do)\b.*)",
    re.IGNORECASE | re.DOTALL,
)
_NAME = r"[\w.\"`\[\]]+"
_LOOKS = re.compile(
    rf"""(?:(?:desc|describe|explain)\s+(?:table\s+|formatted\s+|extended\s+)?{_NAME}(?:\s+(?:{_NAME}|'[^']*'))?
    |(?:list|ls)\s+@[\w./~%-]+
    |\\[dl][a-zA-Z]*\+?(?:\s+[\w.*"]+)?|\.(?:tables|schema|indexes|indices|databases)(?:\s+\w+)?
    |exec(?:ute)?\s+(?:sys\.)?sp_(?:help\w*|columns|tables|databases|pkeys|fkeys|who2?|spaceused)(?:\s+(?:N?'[^';]*'|{_NAME}))?)\s*;?\s*""",
    re.IGNORECASE | re.VERBOSE,
)
_OPENING = frozenset((TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE))
_CLOSING = frozenset((TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END))
_PREFIXES = frozenset((TokenType.NOT, TokenType.DASH, TokenType.PLUS, TokenType.TILDE, TokenType.INTERVAL))
_WORDS = {
    **dict.fromkeys(("INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"), Level.WRITE),
    **dict.fromkeys(("DROP", "CREATE", "ALTER", "TRUNCATE", "RENAME"), Level.DDL),
    **dict.fromkeys(("EXEC", "EXECUTE", "CALL", "PREPARE", "GRANT", "REVOKE", "SHUTDOWN"), Level.OTHER),
    **dict.fromkeys(("COPY", "LOAD", "ATTACH", "OUTFILE", "DUMPFILE"), Level.OTHER),
}
"""What words mean where nothing else can be read."""


class Unreadable(ValueError):
    """The text is no SQL of the dialects tried."""


class TooLarge(Unreadable):
    """The text is too large or too nested to be looked at."""


def statements(text: str, dialect: str = "") -> list[Statement]:
    """Return what each statement of a text would do. Raises `Unreadable`.

    Without a dialect the first that can read it counts, and where dialects may disagree, all of them.
    """
    if len(text) > LONGEST:
        raise TooLarge(f"more than {LONGEST} characters of SQL")
    if _LOOKS.fullmatch(text.strip()):
        return [Statement(Level.READ, "DESCRIBE", tuple(re.findall(r"[\w.]+", text.casefold())[1:]))]
    if dialect:
        return _read(as_read_by(text, dialect), dialect)
    if is_tricky(text):
        return _read_by_all(text)
    return _read_by_any(text)


def known_dialects() -> frozenset[str]:
    """Names of all dialects."""
    return frozenset(sqlglot.Dialect.classes) - {""}


def _read_by_any(text: str) -> list[Statement]:
    worst: list[Statement] | None = None
    for dialect in (*DIALECTS, *OTHERS):
        if worst is not None and dialect in OTHERS:
            return worst
        try:
            found = _read(text, dialect)
        except TooLarge:
            raise
        except Unreadable:
            continue
        if all(one.level < Level.OTHER for one in found):
            return found
        worst = worst or found
    if worst is None:
        raise Unreadable(_UNKNOWN)
    return worst


def _read_by_all(text: str) -> list[Statement]:
    if len(text) > LONGEST_TRICKY:
        raise TooLarge(f"more than {LONGEST_TRICKY} characters of SQL that dialects read differently: set `dialect`")
    found: list[Statement] = []
    readable = False
    for dialect in DIALECTS:
        reading = as_read_by(text, dialect)
        try:
            tokens = _tokens(reading, dialect)
        except TooLarge:
            raise
        except Unreadable:
            continue
        try:
            found += _parsed(tokens, reading, dialect)
            readable = True
        except TooLarge:
            raise
        except Unreadable:
            found += _words(tokens)
    if not readable:
        raise Unreadable(_UNKNOWN)
    return found


def _read(text: str, dialect: str) -> list[Statement]:
    """The statements as one dialect reads them. Raises `Unreadable`."""
    return _parsed(_tokens(text, dialect), text, dialect)


@cache
def _dialect(name: str) -> sqlglot.Dialect:
    return sqlglot.Dialect.get_or_raise(name)


def _tokens(text: str, dialect: str) -> list[Token]:
    try:
        tokens = _dialect(dialect).tokenize(text)
    except SqlglotError:
        raise Unreadable(_UNKNOWN) from None
    _check_size(tokens)
    return tokens


def _parsed(tokens: list[Token], text: str, dialect: str) -> list[Statement]:
    try:
        roots = _dialect(dialect).parser().parse(tokens, text)
        called = _called(tokens)
        return [_one(root, dialect, called) for root in roots if root is not None]
    except RecursionError:
        raise TooLarge(_NESTED) from None
    except SqlglotError:
        raise Unreadable(_UNKNOWN) from None


def _one(root: exp.Expr, dialect: str, called: list[str]) -> Statement:
    if isinstance(root, exp.Command) and root.name.upper() in ("EXPLAIN", "DESCRIBE", "DESC"):
        return _explained(f"{root.name} {root.text('expression')}", dialect)
    return statement_of(root, called)


def _explained(text: str, dialect: str) -> Statement:
    """What EXPLAIN does: nothing, but with ANALYZE what it explains."""
    found = _EXPLAIN.fullmatch(text)
    if found is None:
        return Statement(Level.READ if _LOOKS.fullmatch(text) else Level.OTHER, "EXPLAIN")
    inner = _read(found["rest"], dialect)
    worst = max(inner, key=lambda one: one.level)
    if len(inner) == 1 and "analy" not in found["how"].casefold():
        return Statement(Level.READ, "EXPLAIN", worst.tables, worst.functions)
    return worst


def _check_size(tokens: list[Token]) -> None:
    if len(tokens) > MOST_TOKENS:
        raise TooLarge(f"more than {MOST_TOKENS} words of SQL")
    depth = prefixes = 0
    for token in tokens:
        kind = token.token_type
        prefixes = prefixes + 1 if kind in _PREFIXES else 0
        if kind in _OPENING:
            depth += 1
        elif kind in _CLOSING:
            depth = max(0, depth - 1)
        if depth > DEEPEST or prefixes > DEEPEST:
            raise TooLarge(_NESTED)


def _called(tokens: list[Token]) -> list[str]:
    """Names with a bracket behind, in lower case; one of a schema or package with and without it."""
    found: list[str] = []
    for at, token in enumerate(tokens[1:]):
        if token.token_type is TokenType.L_PAREN:
            name = tokens[at].text.casefold()
            found.append(name)
            if at > 1 and tokens[at - 1].token_type is TokenType.DOT:
                found.append(f"{tokens[at - 2].text.casefold()}.{name}")
    return found


def _words(tokens: list[Token]) -> list[Statement]:
    """What the words of a text warn of that a dialect cannot read: it may run the statements before the unreadable."""
    found: list[Statement] = []
    for token, behind in zip(tokens, [*tokens[1:], None], strict=True):
        word = token.text.split(None, 1)[0].upper() if token.text.strip() else ""
        quoted = token.token_type in (TokenType.STRING, TokenType.IDENTIFIER)
        called = behind is not None and behind.token_type is TokenType.L_PAREN
        if word in _WORDS and not quoted and not called:
            found.append(Statement(_WORDS[word], word))
    return found
