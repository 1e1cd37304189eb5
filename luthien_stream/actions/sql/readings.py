"""One text, several statements: databases do not agree on where comments and quotations end.

What one database takes for a comment or a quotation, another executes: `/*! DROP TABLE x */`, `#`, `--x`, `\\'`, `$$`.
Such a text has a reading a dialect, and what it does is the worst of them.
"""

from __future__ import annotations

import re

DIALECTS = ("mysql", "postgres", "sqlite", "tsql", "duckdb")
"""What is tried where none is configured, in this order."""
OTHERS = ("oracle", "snowflake", "bigquery", "clickhouse")
"""What is tried for a text that none of those can read."""
_TRICKS = re.compile(
    r"""\\['"`] | \# | --(?=[^\s-]) | /\*M?! | /\*(?:[^*]|\*(?!/))*?/\* | \$\w*\$ | \[[^\[\]]{0,128}(?:['"`]|--|/\*)""",
    re.VERBOSE | re.DOTALL,
)
_EXECUTED = re.compile(r"/\*M?!(?:\d{5,6})?((?:[^*]|\*(?!/))*)(?:\*/)?", re.IGNORECASE)
_NO_COMMENT = re.compile(r"--(?=[^\s-])")


def is_tricky(text: str) -> bool:
    """True where dialects may disagree on what is quoted and what is a comment."""
    return _TRICKS.search(text) is not None


def as_read_by(text: str, dialect: str) -> str:
    """The text as a dialect reads it: MySQL executes some comments, and knows no `--` without a blank behind it."""
    if dialect not in ("mysql", "mariadb"):
        return text
    return _NO_COMMENT.sub("- -", _EXECUTED.sub(r" \1 ", text))
