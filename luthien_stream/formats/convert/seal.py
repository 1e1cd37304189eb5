"""Reasoning that its provider signed, kept through a client of another format and back.

A client keeps one opaque string with each piece of reasoning and sends it again in the next turn. For reasoning of
another format's provider that string is a tag, which says whose it is, and what the provider itself gave.
"""

from __future__ import annotations

from msgspec import Struct

MARK = "luthien"
"""Begins every tag."""


class Seal(Struct, frozen=True):
    """What a provider needs to know its own reasoning again."""

    owner: str
    """The format in which the provider gave it."""
    data: str = ""
    """The signature, or the encrypted reasoning itself; empty where the provider gave none."""
    redacted: bool = False
    """True where `data` is all there is: no text belongs to it."""


def tagged(seal: Seal, format: str) -> str:
    """The string for a client of this format; the provider's own where the client's format is the provider's."""
    if seal.owner == format:
        return seal.data
    return f"{MARK}/{seal.owner}/{'redacted' if seal.redacted else 'signed'}/{seal.data}"


def seal_of(text: str, format: str, redacted: bool = False) -> Seal:
    """The seal in a client's string; one without a tag is of the `format` that such strings belong to."""
    mark, _, rest = text.partition("/")
    owner, _, rest = rest.partition("/")
    kind, slash, data = rest.partition("/")
    if mark == MARK and slash and kind in ("signed", "redacted"):
        return Seal(owner, data, kind == "redacted")
    return Seal(format, text, redacted)
