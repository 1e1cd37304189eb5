"""Whether a text is SQL, judged by its words alone: for arguments that may be anything (`query`)."""

from __future__ import annotations

import re

_LEAD = r"(?:\s|;|\(|--[^\n]*\n|\#[^\n]*\n|/\*(?:[^*]|\*(?!/))*\*/)*"
_FORMS = r"""
    select\b.{0,4000}?\bfrom\s+[\w\"'`\[(@:] | select\s+(?:[\w.]+\s*\(|@|\*|'|\d)
    | with\s+(?:recursive\s+)?[\w\"`]+\s*(?:\(|as\b) | insert\s+(?:\w+\s+){0,2}into\b | replace\s+into\b
    | merge\s+into\b | update\s+\S+\s+(?:\w+\s+){0,2}set\b | delete\s+from\b
    | (?:drop|create|alter|rename)\s+(?:or\s+replace\s+)?(?:temp(?:orary)?\s+|unique\s+|external\s+
      |materialized\s+)?(?:table|view|index|database|schema|user|role|function|procedure|trigger|sequence|extension
      |type|tablespace|login)\s+(?:if\s+(?:not\s+)?exists\s+)?[\w\"`\[.]+
    | truncate\s+(?:table\s+)?[\w\"`.]+\s*(?:;|$|cascade|restart) | grant\s+.{1,400}\bto\b | revoke\s+.{1,400}\bfrom\b
    | copy\s+\S.{0,4000}?\b(?:from|to)\b | pragma\s+\w+ | attach\s+(?:database\s+)?['\"] | load\s+data\b
    | exec(?:ute)?\s+(?:\w+\.)*(?:xp|sp)_\w+ | call\s+[\w.]+\s*\( | do\s+(?:\$|sleep|language) | vacuum\s*(?:;|$|full)
    | show\s+(?:tables|databases|columns|create\s+table|schemas)\b | (?:describe|desc)\s+[\w\"`.]+\s*;?\s*$
    | explain\s+(?:analyze\s+)?(?:select|insert|update|delete|with)\b | declare\s+@ | begin\s*;| set\s+@?\w+\s*=
"""
_SQL = re.compile(rf"{_LEAD}(?:{_FORMS})", re.IGNORECASE | re.DOTALL | re.VERBOSE)
_HIDDEN = re.compile(r"/\*!|;\s*(?:drop|delete|update|insert|alter|truncate|exec)\b", re.IGNORECASE)
_VERBS = """
    select with insert replace merge update delete drop create alter rename truncate grant revoke copy pragma attach
    detach load exec execute call do vacuum show describe desc explain declare begin start commit rollback set use
    analyze reindex optimize lock unlock handler values table import export install kill shutdown backup restore
    prepare deallocate refresh comment cluster listen notify reset flush purge release savepoint end if while
    undrop put get remove rm list ls cache uncache msck bulk dbcc waitfor print throw raiserror deny open fetch close
    from pivot unpivot summarize checkpoint discard security reassign move repair check checksum shutdown reconfigure
    stop change xa abort undeploy switch enable disable revert output system flashback audit noaudit
"""
_BRACES = re.compile(
    r"\{(?!\s*(?:\?\s*=\s*)?call\b)|(?:query|mutation|subscription|fragment)\b[\w\s($:!\[\],=)@.]{0,2000}\{",
    re.IGNORECASE,
)
"""Of what begins with a brace only `{call procedure}` means something to a database."""
_VERB_SET = frozenset(_VERBS.split())
_PROSE = re.compile(r"[^\W\d_](?:[^\W_]|[ ,.?!:\n’-]|(?<=\w)'(?=[a-z]\b)|(?<=s)' )*")


def is_sql(text: str) -> bool:
    """True for what begins like a statement, or carries one: an unknown tool's `query` is SQL only then."""
    return bool(_SQL.match(text, 0, 65536) or _HIDDEN.search(text, 0, 65536))


def may_be_sql(text: str) -> bool:
    """False for plain prose, a question or four words and more, and for GraphQL and the like.

    A database tool's `query` is SQL unless it is that; no database runs it.
    """
    head = text.strip()
    if _BRACES.match(head):
        return False
    if len(head) > 4000 or not _PROSE.fullmatch(head):
        return True
    words = head.split()
    return len(words) < (2 if head.endswith("?") else 4) or words[0].casefold().strip(",.?!:") in _VERB_SET
