"""Text that people decide on, with everything visible that a terminal would obey, hide, or show in another order."""

from __future__ import annotations

_HIDDEN = frozenset(
    chr(code)
    for first, last in (
        (0x034F, 0x034F),
        (0x115F, 0x1160),
        (0x17B4, 0x17B5),
        (0x180B, 0x180F),
        (0x2800, 0x2800),
        (0x3164, 0x3164),
        (0xFE00, 0xFE0F),
        (0xFFA0, 0xFFA0),
        (0xE0100, 0xE01EF),
    )
    for code in range(first, last + 1)
)
"""Characters that count as printable and show nothing."""
MARK = "⟨"


def visible(text: str, *, lines: bool = False) -> str:
    """Return text with such characters as `⟨U+202E⟩`; `lines` keeps line breaks.

    Two different texts never look the same: the mark itself is written so too.
    """
    return "".join(c if (lines and c == "\n") or _shows(c) else f"⟨U+{ord(c):04X}⟩" for c in text)


def _shows(character: str) -> bool:
    return character.isprintable() and character not in _HIDDEN and character != MARK
