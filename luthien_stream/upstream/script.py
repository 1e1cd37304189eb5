"""A scripted answer, before it has a wire format: what the demo provider and the fake provider of the tests say.

`render` turns an `Answer` into the bytes that a real provider would send.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

Stop = Literal["stop", "length", "tool_calls", "content_filter"]


class Say(Struct, frozen=True):
    """A block of text, cut into the pieces that are streamed."""

    texts: tuple[str, ...]


class Think(Struct, frozen=True):
    """A block of reasoning with the provider's signature; chat clients get it as `reasoning_content`."""

    texts: tuple[str, ...]
    signature: str = ""


class Call(Struct, frozen=True):
    """A tool call; `fragments` are the pieces of its JSON arguments."""

    id: str
    name: str
    fragments: tuple[str, ...]


Piece = Say | Think | Call


class Usage(Struct, frozen=True):
    """Tokens as a provider bills them; `cached` ones were read from its cache and are not in `input`."""

    input: int = 12
    output: int = 1
    cached: int = 0


class Answer(Struct, frozen=True):
    """One assistant turn. `key` makes its identifiers: the same key gives the same bytes."""

    model: str
    pieces: tuple[Piece, ...]
    stop: Stop = "stop"
    usage: Usage = Usage()
    key: str = "0"
    created: int = 1_760_000_000


def words(text: str) -> tuple[str, ...]:
    """Cut a text into pieces of one word with the blanks after it; joined they give the text again."""
    return tuple(re.findall(r"\s*\S+\s?", text)) or ((text,) if text else ())


def fragments(arguments: str, size: int = 12) -> tuple[str, ...]:
    """Cut JSON text into pieces as providers stream it: an empty one first, then at most `size` characters each."""
    return ("", *(arguments[at : at + size] for at in range(0, len(arguments), size)))
