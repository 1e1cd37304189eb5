"""Secrets in a text that streams by: what is masked is the same however the text is cut.

A text is decided run by run: a run of characters without white space is looked at when it is over, together with what
is said before it, up to 512 characters. Of one that goes on for longer, 256 characters are decided once 512 are there.
So at most 512 characters are held, but for a private key: its name depends on all of it, so it is held to its end.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Final

from luthien_stream.policy.tail import Edit
from luthien_stream.text import key_block
from luthien_stream.text.pattern import compiled, readable
from luthien_stream.text.secrets import Finder

BEHIND: Final = 512
LONGEST: Final = 512
"""Characters of one run that are held at most."""
KEY: Final = "private-key"
"""The rule that finds private keys."""
_STEP: Final = 256
_MANY: Final = 128
_REGION: Final = 16_384
"""From how many characters on they are looked at together while no secret is among them, and how many at once."""
_BOUNDARY = re.compile("[\x00-\x20\x7f\x85\xa0\u2000-\u200a\u2028\u2029\u2e80-\U0010ffff]")
"""What ends a run: white space, and scripts that are written without it (East Asian text, emoji)."""
_LONG = compiled(rf"[\x{{21}}-\x{{7e}}\x{{a1}}-\x{{1fff}}\x{{200b}}-\x{{2027}}\x{{202a}}-\x{{2e7f}}]{{{LONGEST}}}")
_MORE = re.compile(r"[\w+/=.~%-]*", re.ASCII)
"""How a secret goes on that is longer than what was looked at."""
Name = Callable[[str, str], str]
"""The rule and the secret to what stands in its place."""


class _Block:
    """A private key that the text is in."""

    __slots__ = ("looked", "named", "sure")

    def __init__(self) -> None:
        self.sure = self.named = False
        """It is known to be a key; its name has been put."""
        self.looked = 0
        """Characters behind its header among which its end is not."""


class SecretScan:
    """Implements `Scan`. All positions but what `more` returns count in `_text`."""

    __slots__ = (
        "_at",
        "_base",
        "_block",
        "_covered",
        "_finder",
        "_inside",
        "_name",
        "_open",
        "_seen",
        "_text",
        "_word",
        "edits",
    )

    def __init__(self, finder: Finder, name: Name) -> None:
        self._finder, self._name = finder, name
        self._text, self._base = "", 0
        """What is not decided with what counts before it, and where that begins."""
        self._at = self._seen = 0
        """Up to where it is decided, and up to where no run ends."""
        self._inside = False
        """The undecided text begins inside a run."""
        self._covered = 0
        """Up to where it is masked."""
        self._open = False
        """What is masked goes on as long as the run looks like it."""
        self._word = -BEHIND - 1
        """Where a keyword stood last."""
        self._block: _Block | None = None
        self.edits: deque[Edit] = deque()

    def more(self, text: str) -> int:
        """Take what comes next; return how many characters are decided."""
        self._text += readable(text)
        self._go_on(False)
        decided = self._base + self._at
        if self._at > 4 * BEHIND:
            self._forget(self._at - BEHIND)
        return decided

    def close(self) -> None:
        """Decide on all that is left."""
        self._go_on(True)

    def _go_on(self, closed: bool) -> None:
        while self._at < len(self._text):
            if self._block is not None:
                if not self._go_through(self._block, closed):
                    return
            elif not self._skip() and not self._run(closed):
                return

    def _forget(self, size: int) -> None:
        self._text = self._text[size:]
        self._base += size
        self._at -= size
        self._seen -= size
        self._covered -= size
        self._word -= size

    def _skip(self) -> bool:
        """Decide on many runs at once, where none of them can have a secret; False if there is nothing to skip."""
        text, at, finder = self._text, self._at, self._finder
        idle = not (self._inside or self._open or finder.always or at - self._word <= finder.reach)
        if not idle or len(text) - at < _MANY:
            return False
        region = text[at : at + _REGION]
        long = _LONG.search(region) if len(region) > LONGEST else None
        places = (finder.first_hint(region), None if long is None else long.start(), len(region))
        first = min(place for place in places if place is not None)
        while first > 0 and not _BOUNDARY.match(region, first - 1):
            first -= 1
        self._at += first
        return first > 0

    def _run(self, closed: bool) -> bool:
        """Decide on the next run, or on a part of it; False if more of it must come."""
        text, at = self._text, self._at
        found = _BOUNDARY.search(text, max(at, self._seen), at + LONGEST)
        if found is not None:
            self._decide(found.end(), found.end(), False)
        elif len(text) - at >= LONGEST:
            self._decide(at + _STEP, at + LONGEST, True)
        elif closed:
            self._decide(len(text), len(text), False)
        else:
            self._seen = len(text)
            return False
        return True

    def _decide(self, end: int, ahead: int, inside: bool) -> None:
        """Mask what is secret up to `end`, as far as `ahead` shows it."""
        text, start, finder = self._text, self._at, self._finder
        begin = max(0, start - BEHIND) if self._inside else start
        near = text[begin:ahead]
        hinted = finder.hints(near)
        if hinted and key_block.may_end_header(near):
            behind = self._behind(start, BEHIND)
            header = key_block.header_end(text[behind:end], start - behind)
            if header is not None:
                end = ahead = behind + header
                inside, self._block = True, _Block()
                near = text[begin:end]
        if self._open:
            self._extend(ahead, inside)
        if hinted and finder.word(near):
            self._word = ahead
        spans = [(begin, span) for span in finder.near_spans(near)] if hinted else []
        if start - self._word <= finder.reach or finder.always:
            behind = self._behind(start, finder.reach)
            spans += [(behind, span) for span in finder.far_spans(text[behind:ahead])]
        for first, last, rule in sorted(((o + s, o + e, rule) for o, (s, e, rule) in spans), key=_longest_first):
            if first < end and last > max(start, self._covered):
                self._mask(max(first, start), last, rule, text[first:last] if first >= self._covered else "")
                self._open = inside and last == ahead
        self._at, self._inside = end, inside

    def _mask(self, start: int, end: int, rule: str, secret: str) -> None:
        """Put a name in place of a secret; without one the place goes on that is masked."""
        start = max(start, self._covered)
        put = self._name(rule, secret) if secret else ""
        self.edits.append((self._base + start, self._base + end, put))
        self._covered = end

    def _extend(self, ahead: int, inside: bool) -> None:
        found = _MORE.match(self._text, self._covered, ahead)
        end = self._covered if found is None else found.end()
        if end > self._covered:
            self._mask(self._covered, end, "", "")
        self._open = inside and end == ahead

    def _behind(self, start: int, reach: int) -> int:
        """Where to begin to look, for what is decided at `start`: with a whole run."""
        behind = max(0, start - reach)
        found = _BOUNDARY.search(self._text, behind, start) if self._base + behind else None
        return behind if found is None else found.end()

    def _go_through(self, block: _Block, closed: bool) -> bool:
        """Go on in a private key; False if more of it must come."""
        body = self._text[self._at : self._at + key_block.LIMIT + 1]
        closed = closed and self._at + len(body) == len(self._text)
        if not block.sure:
            begin = key_block.body_begins(body)
            if begin is None:
                over = closed or len(body) >= key_block.BODY_WITHIN
                self._block = None if over else block
                return over
            block.sure, block.looked = True, begin
        end = key_block.body_ends(body, block.looked)
        if end is None and closed:
            end = len(body)
        if end is not None:
            self._lose(body[:end], block)
            self._block, self._inside, self._open = None, True, False
            return True
        whole = len(body) > key_block.LIMIT
        if whole or block.named:
            self._lose(body[: key_block.LIMIT if whole else -key_block.MARGIN], block)
        block.looked = max(block.looked, len(body) - key_block.MARGIN) if not block.named else 0
        return whole

    def _lose(self, body: str, block: _Block) -> None:
        """Mask a part of a private key, but for the blanks around it; its name stands where it begins."""
        start, end = self._at, self._at + len(body)
        if not block.named:
            start += len(body) - len(body.lstrip())
            end -= len(body) - len(body.rstrip())
        if end > start:
            self._mask(start, end, KEY, "" if block.named else body.strip())
        block.named = True
        self._at += len(body)


def _longest_first(span: tuple[int, int, str]) -> tuple[int, int]:
    return span[0], -span[1]
