"""A request's body in pieces, each to be kept once: an agent sends its whole history again every turn.

A body is literal bytes, large values, and lists (`messages`, `tools`) whose elements are chained: an element is named
by itself and all before it, so that a history that only grew costs what is new. Put together it is the very bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct, field

REF_BYTES = 16
"""Of SHA-256. That a body is the right one is known by its whole digest."""
LISTS = ("messages", "input", "system", "tools")
LARGE = 512
"""Bytes from which a value of the body is a piece of its own."""
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])

Literal = bytes
Link = tuple[bytes, bytes | None, bytes]
"""(ref, ref of the element before, ref of the piece)"""


class Split(Struct):
    """A body as it is kept. `parts` are literal bytes, `[piece, None]`, or `[last link, separator]`."""

    parts: list[Any] = field(default_factory=list)
    pieces: dict[bytes, bytes] = field(default_factory=dict)
    """By ref: of the parts, and of all links."""
    links: list[Link] = field(default_factory=list)
    """Of all lists, in order."""

    @property
    def packed(self) -> bytes:
        """`parts` as they are stored."""
        return msgspec.msgpack.encode(self.parts)

    @property
    def named(self) -> list[bytes]:
        """The pieces that the parts name themselves."""
        return [part[0] for part in self.parts if isinstance(part, list) and part[1] is None]

    @property
    def ends(self) -> list[bytes]:
        """The last links of all lists."""
        return [part[0] for part in self.parts if isinstance(part, list) and part[1] is not None]


def ref_of(*data: bytes) -> bytes:
    """Return the name of a piece, or of a link made of two names."""
    return sha256(b"".join(data)).digest()[:REF_BYTES]


def split(body: bytes) -> Split:
    """Return a body in pieces. What is no JSON object is one piece."""
    made = Split()
    at = 0
    for start, end, name in _values(body):
        elements = _elements(body[start:end]) if name in LISTS else None
        if elements is not None:
            offset, separator, found = elements
            _literal(made, body[at : start + offset])
            _chain(made, found, separator)
            at = start + offset + sum(map(len, found)) + len(separator) * (len(found) - 1)
        elif end - start >= LARGE:
            _literal(made, body[at:start])
            _piece(made, body[start:end])
            at = end
    _literal(made, body[at:])
    return made


def join(parts: bytes, piece: Callable[[bytes], bytes], elements: Callable[[bytes], Sequence[bytes]]) -> bytes:
    """Put a body together from its packed parts; `elements` gives the pieces of a list by its last link."""
    found: list[bytes] = []
    for part in msgspec.msgpack.decode(parts):
        if isinstance(part, bytes):
            found.append(part)
        elif part[1] is None:
            found.append(piece(part[0]))
        else:
            found.append(part[1].join(elements(part[0])))
    return b"".join(found)


def names(parts: bytes) -> Iterator[tuple[bytes, bool]]:
    """What packed parts name: (ref, whether it is the last link of a list)."""
    for part in msgspec.msgpack.decode(parts):
        if not isinstance(part, bytes):
            yield part[0], part[1] is not None


def walk(last: bytes, links: Mapping[bytes, tuple[bytes | None, bytes]]) -> Iterator[bytes]:
    """The pieces of a list from its last link back; `links` gives (link before, piece)."""
    ref: bytes | None = last
    while ref is not None:
        ref, piece = links[ref]
        yield piece


def _values(body: bytes) -> Iterator[tuple[int, int, str]]:
    """Where the values of the body's fields are, in order; nothing where it is no JSON object."""
    try:
        fields = _OBJECT.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return
    at = 0
    for name, value in fields.items():
        raw = bytes(value)
        start = body.find(raw, at)
        if start < 0:
            continue  # a field that is there twice keeps its first place and its last value
        at = start + len(raw)
        yield start, at, name


def _elements(raw: bytes) -> tuple[int, bytes, list[bytes]] | None:
    """Where the first element of a list begins, what stands between all of them, and they; None where that differs."""
    try:
        found = [bytes(one) for one in _ARRAY.decode(raw)]
    except (msgspec.MsgspecError, RecursionError):
        return None
    if not found or any(not one for one in found):
        return None
    offset = raw.find(found[0])
    after = offset + len(found[0])
    second = raw.find(found[1], after) if len(found) > 1 else after + 1
    separator = raw[after:second] if len(found) > 1 else b","
    whole = separator.join(found)
    return (offset, separator, found) if raw[offset : offset + len(whole)] == whole else None


def _literal(made: Split, data: bytes) -> None:
    if len(data) >= LARGE:
        _piece(made, data)
    elif data:
        made.parts.append(data)


def _piece(made: Split, data: bytes) -> None:
    ref = ref_of(data)
    made.pieces[ref] = data
    made.parts.append([ref, None])


def _chain(made: Split, elements: Sequence[bytes], separator: bytes) -> None:
    last: bytes | None = None
    for element in elements:
        piece = ref_of(element)
        made.pieces[piece] = element
        ref = ref_of(last or b"", piece)
        made.links.append((ref, last, piece))
        last = ref
    made.parts.append([last, separator])
