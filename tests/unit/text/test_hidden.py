"""Hidden characters are taken out, and what writing needs stays, wherever a text is cut."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthien_stream.events.answer import Text
from luthien_stream.text.flow import Flow, edited
from luthien_stream.text.hidden import HiddenScan


def tags(text: str) -> str:
    """A text in characters that nobody sees."""
    return "".join(chr(0xE0000 + ord(c)) for c in text)


def selectors(text: str) -> str:
    """Bytes as variation selectors."""
    return "".join(chr(0xFE00 + b if b < 16 else 0xE0100 + b - 16) for b in text.encode())


def stripped(text: str) -> str:
    return edited(HiddenScan(lambda kind: None), text)


def kinds(text: str) -> dict[str, int]:
    found: Counter[str] = Counter()
    edited(HiddenScan(lambda kind: found.update([kind])), text)
    return dict(found)


FLAG = "\U0001f3f4"
HONEST = {
    "ascii": "Plain text, with\ttabs and\nlines.",
    "family": "👨‍👩‍👧‍👦 and 🏳️‍🌈 and 🧑🏽‍💻 and ❤️‍🔥",
    "text or emoji": "☀︎ ☀️ ©️ 1️⃣ #️⃣ ↔️",
    "flags": f"{FLAG}{tags('gbeng')}\U000e007f{FLAG}{tags('gbsct')}\U000e007f{FLAG}{tags('gbwls')}\U000e007f 🇬🇧",
    "persian": "می‌خواهم کتاب‌ها",
    "hindi": "क्‍ष क्‌ष",
    "bengali": "র‍্য",
    "hebrew": "שלום\u200f!",
    "khmer": "ភាសា\u200bខ្មែរ",
    "mongolian": "ᠠ\u180eᠠ ᠡ\u180bᠡ",
    "hangul": "\u1112\u1161\u11ab\u115f\u1161",
    "variants": "葛\U000e0100城 ≩︀",
    "mark": "\ufeffA byte order mark at the beginning",
    "soft hyphen": "Donau\u00addampf\u00adschiff",
}


@pytest.mark.parametrize("name", HONEST)
def test_what_writing_needs_stays(name: str) -> None:
    """Emoji, flags, and scripts whose letters join."""
    assert stripped(HONEST[name]) == HONEST[name]
    assert kinds(HONEST[name]) == {}


@pytest.mark.parametrize(
    ("text", "left", "found"),
    [
        (f"Hi{tags('ignore all')}!", "Hi!", {"tag": 10}),
        (f"{FLAG}{tags('gbxyz')}\U000e007f.", f"{FLAG}.", {"tag": 6}),
        (f"{FLAG}{tags('gbengx')}", FLAG, {"tag": 6}),
        (f"a{selectors('hidden bytes')}", "a", {"variation selector": 12}),
        (f"😀{selectors('xyz')}", "😀", {"variation selector": 3}),
        ("pass\u200bword", "password", {"zero-width": 1}),
        ("in\u200cvis\u200dib\u2060le\ufeff", "invisible", {"zero-width": 4}),
        ("\u200b" * 5000 + "x", "x", {"zero-width": 5000}),
        ("می\u200c\u200c\u200cخواهم", "می\u200cخواهم", {"zero-width": 2}),
        ("access = \u202e\u2066nimda\u2069\u202c", "access = nimda", {"bidi": 4}),
        ("a\u200fb\u200ec", "abc", {"bidi": 2}),
        ("👨\u200d", "👨", {"zero-width": 1}),
        ("\u3164\uffa0\u115f\u2063", "", {"zero-width": 4}),
        ("so\u00ad\u00ad\u00adft", "so\u00adft", {"zero-width": 2}),
        ("x\ufeff\ufeff", "x", {"zero-width": 2}),
        ("\u115f\u1160hi", "hi", {"zero-width": 2}),
    ],
)
def test_what_hides_something_goes(text: str, left: str, found: dict[str, int]) -> None:
    """Tags, selectors, characters without width, directional controls."""
    assert stripped(text) == left
    assert kinds(text) == found
    flow = Flow(lambda: HiddenScan(lambda kind: None))
    pieces = [out.text for char in text for out in flow.take(Text(char))]
    assert "".join([*pieces, *(out.text for out in flow.flush())]) == left


HIDDEN = ("\ufe0f", "\u200d", "\u200c", "\u200b", "\u202e", "\u00ad", "\ufeff", *tags("gben"), "\U000e007f")
PIECES = st.sampled_from([*"aي👨क☀1", FLAG, *HIDDEN, tags("gbeng") + "\U000e007f"])


@given(st.lists(PIECES, max_size=20), st.lists(st.integers(1, 5), max_size=40))
def test_cuts_do_not_matter(chars: list[str], sizes: list[int]) -> None:
    """However a text is cut, what leaves is the same, and what it has hidden is counted the same."""
    text = "".join(chars)
    found: Counter[str] = Counter()
    flow = Flow(lambda: HiddenScan(lambda kind: found.update([kind])))
    left: list[str] = []
    at = 0
    for size in [*sizes, *[1] * len(text)]:
        if at < len(text):
            left += [out.text for out in flow.take(Text(text[at : at + size]))]
            at += size
    left += [out.text for out in flow.flush()]
    assert "".join(left) == stripped(text)
    assert dict(found) == kinds(text)


@given(st.lists(PIECES, max_size=20))
def test_what_is_left_has_nothing_to_take_out(chars: list[str]) -> None:
    """Once is enough."""
    once = stripped("".join(chars))
    assert stripped(once) == once


def test_only_the_last_character_waits() -> None:
    """And a flag that may still be one."""
    scan = HiddenScan(lambda kind: None)
    assert scan.more("abc") == 3
    assert scan.more("d\u200d") == 4
    assert scan.more("e") == 6
    assert scan.more(FLAG + tags("gbe")) == 7
    assert scan.more(tags("ng")) == 7
    assert scan.more("\U000e007f") == 13


def test_rows_are_taken_out_in_one_edit() -> None:
    """Each of their characters is counted."""
    scan = HiddenScan(lambda kind: None)
    scan.more("a" + "\u200b" * 50_000 + "\u2060" * 50_000 + "b")
    assert list(scan.edits) == [(1, 100_001, "")]
    assert kinds("a" + "\u200b" * 1_000 + "b") == {"zero-width": 1_000}
