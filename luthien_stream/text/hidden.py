"""Characters that nobody sees: which of them have a place in honest text, and which only hide something.

What stays: the joiners of emoji, of Arabic and of Indic scripts; directional marks beside right-to-left letters; flags
made of tags; one variation selector behind what can take it; a byte order mark at the beginning; single soft hyphens.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from sys import maxsize
from typing import Final, Literal

from luthien_stream.core.unseen import UNSEEN
from luthien_stream.policy.tail import Edit

TAGS, ZERO_WIDTH, BIDI, SELECTORS = "tag", "zero-width", "bidi", "variation selector"
SUSPECT: Final = re.compile(f"[{UNSEEN}]")
"""Characters that may hide something."""
Action = Literal["strip", "flag", "end"]
"""Take them out, only note them, or end the text before the first."""
_FLAG = "\U0001f3f4"
_FLAGS = frozenset("".join(chr(0xE0000 + ord(c)) for c in name) + "\U000e007f" for name in ("gbeng", "gbsct", "gbwls"))
"""The tags behind a black flag that make a flag of their own."""
_BEGUN = frozenset(tags[:size] for tags in _FLAGS for size in range(1, len(tags)))
_WORDS = "\u0590-\u08ff\u0900-\u109f\u1780-\u18af\ua840-\uabff\ufb1d-\ufdff\ufe70-\ufefc\U00010a00-\U00011fff"
_JOINS = re.compile(f"[{_WORDS}]")
"""Letters of scripts with joiners."""
_SPACELESS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1980-\u19df\u1a20-\u1aaf]")
"""Letters of scripts without spaces, where words may be parted by what has no width."""
_FILLERS = "\u115f\u1160"
"""Places of letters that a Hangul syllable does without."""
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")
_SYMBOLS = "\u00a9\u00ae\u203c\u2049\u2100-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
_EMOJI = re.compile(f"[{_SYMBOLS}]")
_EMOJI_ENDS = re.compile(f"[{_SYMBOLS}\ufe0f\u20e3]")
_STYLED = re.compile(f"[#*0-9{_SYMBOLS}]")
"""What is shown as text or as emoji."""
_VARIED = re.compile(
    "[\u1000-\u109f\u1820-\u18aa\u2190-\u2bff\u3000-\u9fff\ua840-\ua87f\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""What has variants that are standard: symbols, Myanmar, Mongolian, East Asian letters."""


def kind_of(char: str) -> str:
    """What kind of hidden character this is."""
    code = ord(char)
    if 0xE0000 <= code <= 0xE007F or 0xE01F0 <= code <= 0xE0FFF:
        return TAGS
    if 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF or code in (0x180B, 0x180C, 0x180D, 0x180F):
        return SELECTORS
    if code in (0x61C, 0x200E, 0x200F) or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069:
        return BIDI
    return ZERO_WIDTH


def belongs(char: str, before: str, behind: str, *, first: bool) -> bool:
    """True if a hidden character has its place: `before` and `behind` are its neighbours, empty at the text's ends."""
    match char:
        case "\u00ad":
            return before != "\u00ad" and behind != "\u00ad"
        case "\ufeff":
            return first
        case "\u200d" if _EMOJI_ENDS.match(before):
            return _EMOJI.match(behind) is not None
        case "\u200c" | "\u200d":
            return _JOINS.match(before) is not None and not SUSPECT.match(behind)
        case "\u200b":
            return _SPACELESS.match(before) is not None and _SPACELESS.match(behind) is not None
        case "\u200e" | "\u200f" | "\u061c":
            beside = _RIGHT_TO_LEFT.match(before) or _RIGHT_TO_LEFT.match(behind)
            return beside is not None and not SUSPECT.match(behind)
        case "\ufe0e" | "\ufe0f":
            return _STYLED.match(before) is not None
        case "\u115f" | "\u1160":
            return any("\u1100" <= one <= "\u11ff" and one not in _FILLERS for one in (before, behind))
        case "\u17b4" | "\u17b5" | "\u180e":
            return _JOINS.match(before) is not None and _JOINS.match(behind) is not None
    return kind_of(char) == SELECTORS and _VARIED.match(before) is not None


class HiddenScan:
    """Implements `Scan`: takes out what has no place, and tells `note` the kind of each."""

    __slots__ = ("_action", "_at", "_before", "_note", "_over", "_rest", "edits")

    def __init__(self, note: Callable[[str], None], action: Action = "strip") -> None:
        self._note, self._action = note, action
        self._over = False
        """The text ends before what is to come."""
        self._rest = ""
        """What is not decided."""
        self._at = 0
        """Where that begins."""
        self._before = ""
        """The character before it, if it is still there."""
        self.edits: deque[Edit] = deque()

    def more(self, text: str) -> int:
        """Take what comes next; return how many characters are decided."""
        if not self._rest and (self._over or text.isascii() or not SUSPECT.search(text)):
            self._at += len(text)
            self._before = text[-1:] or self._before
            return self._at
        self._rest += text
        self._go_on(False)
        return self._at

    def close(self) -> None:
        """Decide on all that is left."""
        self._go_on(True)

    def _go_on(self, closed: bool) -> None:
        text, done = self._rest, 0
        while not self._over and (found := SUSPECT.search(text, done)) is not None:
            at = found.start()
            if at > done:
                self._before = text[at - 1]
            end = self._look(text, at, closed)
            if end is None:
                done = at
                break
            done = end
        else:
            self._before = text[-1:] if len(text) > done else self._before
            done = len(text)
        self._at += done
        self._rest = text[done:]

    def _look(self, text: str, at: int, closed: bool) -> int | None:
        """Decide on what is hidden at a place; return where it ends, None if that depends on what comes."""
        char = text[at]
        if self._before == _FLAG and "\U000e0061" <= char <= "\U000e007a":
            for end in range(at + 1, min(len(text), at + 7) + 1):
                if text[at:end] in _FLAGS:
                    self._before = "\U000e007f"
                    return end
                if text[at:end] not in _BEGUN:
                    break
            else:
                if not closed:
                    return None
        if at + 1 == len(text) and not closed:
            return None
        if belongs(char, self._before, text[at + 1 : at + 2], first=self._at + at == 0):
            self._before = char
            return at + 1
        self._over = self._action == "end"
        end = at + 1 if self._over else _same(text, at)
        for _ in range(end - at):
            self._note(kind_of(char))
        if self._action != "flag":
            self._take_out(self._at + at, maxsize if self._over else self._at + end)
        return end

    def _take_out(self, start: int, end: int) -> None:
        """Note the edit; one that goes on where the last one ends makes that longer."""
        if self.edits and self.edits[-1][1] == start:
            start = self.edits.pop()[0]
        self.edits.append((start, end, ""))


def _same(text: str, at: int) -> int:
    """Where a row of the same character ends of which none has a place; its last one is left, for what is behind it."""
    char, end = text[at], at + 1
    if not belongs(char, char, char, first=False):
        while text[end : end + 2] == char + char:
            end += 1
    return end
