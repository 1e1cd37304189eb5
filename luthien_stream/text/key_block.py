"""A private key written as lines between a header and a footer (PEM, PGP, PuTTY): where it begins and ends."""

from __future__ import annotations

import re
from typing import Final

from luthien_stream.text.pattern import compiled

LIMIT: Final = 16_384
"""Characters of a key that are held; what is longer is masked as it comes."""
MARGIN: Final = 80
"""The end of a key is seen at most this many characters behind it."""
BODY_WITHIN: Final = 512
"""A header without a body so near is only spoken of."""

HEADER_TAIL: Final = r"(?:KEY|BLOCK)-----|Private-Lines:"
"""An expression for the last word of a header."""

_TAIL = re.compile(HEADER_TAIL)
_HEADER = compiled(r"-----BEGIN[ A-Z0-9]{0,40}PRIVATE KEY(?: BLOCK)?-----|Private-Lines:")
_LONGEST_HEADER: Final = 80
_BODY = compiled(
    r"(?:\s|\\[nrt]|[\"'>|,+\\#*]|[0-9]{1,6}(?:\s|→|:)"
    r"|(?:Proc-Type|DEK-Info|Version|Comment|Hash|Charset): ?[^\n\\]{0,100})*"
    r"[A-Za-z0-9+/=_-]{16}"
)
_END = re.compile(r"-----END|Private-MAC")
_BREAK = re.compile(r"\s{1,3}\S{1,15}(?=(?:\s{1,3}\S{1,15}){2}\s)")
"""Three short words: prose again, behind a key that was cut off. The first may be the rest of the key."""


def may_end_header(run: str) -> bool:
    """True if a run has what a header ends with."""
    return _TAIL.search(run) is not None


def header_end(text: str, behind: int) -> int | None:
    """Where the first header that ends after `behind` ends, None if there is none."""
    begin = max(0, behind - _LONGEST_HEADER)
    return next((begin + found.end() for found in _HEADER.finditer(text[begin:]) if begin + found.end() > behind), None)


def body_begins(text: str) -> int | None:
    """Where the first line of a key is known as one, given what follows its header; None if there is no key."""
    found = _BODY.match(text[:BODY_WITHIN])
    return None if found is None else found.end()


def body_ends(text: str, begin: int) -> int | None:
    """Where a key ends whose lines go on at `begin`, None if that has not come yet."""
    end = _END.search(text, begin)
    stop = len(text) if end is None else end.start()
    cut = _BREAK.search(text, begin, stop)
    if cut is not None:
        return cut.end()
    return None if end is None else stop
