"""The arguments of a tool call, read leniently: whoever runs the call may read them more leniently than we do.

Names are compared without case and separators, a name that is there twice has both values, and text that is no JSON
gives what looks like fields in it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any

from msgspec import Struct

from luthien_stream.core.unseen import UNSEEN
from luthien_stream.events.answer import ToolCall

KEPT = 65_536
"""Characters of arguments that are kept as read, since every gate reads them; of larger ones only the last."""
DEEPEST = 64
"""Nested deeper than this, arguments count as unreadable; a parser of the client's would hardly do more."""
_STRING = r'"((?:[^"\\]|\\.)*)\\?(?:"|\Z)'
"""It matches at every quotation mark, closed or not, so that looking for it takes linear time."""
_FIELD = re.compile(rf"{_STRING}(?:\s*:\s*{_STRING})?", re.DOTALL)
_BRACKET = re.compile(rf"{_STRING}|[\[\]{{}}]", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_NOISE = re.compile(r"[^0-9a-z]+")

_UNSEEN = re.compile(f"[{UNSEEN}]")
_UNSEEN_ESCAPED = re.compile(
    "|".join(rf"\\u{ord(one):04x}" for one in _UNSEEN.findall("".join(map(chr, range(0x10000)))))
    + r"|\\ud82f\\udca[0-3]|\\ud834\\udd7[3-9a]|\\udb4[0-3]\\ud[c-f][0-9a-f]{2}",
    re.IGNORECASE,
)

Fields = dict[str, list[Any]]
"""Plain name to the values given under it; a nested object is again such fields."""


class Arguments(Struct, frozen=True):
    """What is known of a call's arguments."""

    fields: Fields
    whole: tuple[str, ...] = ()
    """Where they are no JSON object: all of the text, and every quoted string in it."""

    def values(self, names: Collection[str]) -> Iterator[Any]:
        """Values under any of these plain names, wherever they stand, in order."""
        yield from _under(self.fields, names)

    def strings(self) -> Iterator[str]:
        """Every string and number, without the names."""
        yield from self.whole
        yield from strings(self.fields)


def as_shown(call: ToolCall) -> Iterator[ToolCall]:
    """The call as it came, and as it shows: without what nobody sees, which somebody behind us may take out."""
    yield call
    text = call.arguments
    if not text.isascii():
        text = _UNSEEN.sub("", text)
    if "\\u" in text:
        text = _UNSEEN_ESCAPED.sub("", text)
    if text != call.arguments:
        yield ToolCall(call.id, call.name, text, kind=call.kind)


def arguments_of(call: ToolCall) -> Arguments:
    """Read the arguments of a call; treat them as read-only. Never raises."""
    text, is_bare = call.arguments, call.kind == "custom"
    return _kept(text, is_bare) if len(text) <= KEPT else _last(text, is_bare)


def _read(text: str, is_bare: bool) -> Arguments:
    value = _parsed(text)
    if isinstance(value, str):  # JSON in JSON, or bare text
        text, value = value, _parsed(value)
    if isinstance(value, list):
        value = {"": [value]}
    if isinstance(value, dict):
        return Arguments(value)
    if not text.strip():
        return Arguments({})
    return Arguments({}, (clean(text),)) if is_bare else _salvaged(text)


_kept = lru_cache(maxsize=32)(_read)
_last = lru_cache(maxsize=1)(_read)


def plain(name: str) -> str:
    """A name without case and separators: `filePath`, `file_path` and `File-Path` are `filepath`."""
    return _NOISE.sub("", name.casefold())


def strings(value: Any) -> Iterator[str]:
    """Every string and number in a value, in order."""
    match value:
        case str():
            yield clean(value)
        case dict():
            for one in value.values():
                yield from strings(one)
        case list():
            for one in value:
                yield from strings(one)
        case bool() | None:
            return
        case _:
            yield str(value)


def joined(value: Any) -> list[str]:
    """The shell commands that a value says: a text is one, and a list is words of one (`["bash", "-lc", "ls"]`).

    A list whose first item has blanks is no list of words: each item is a command.
    """
    if not isinstance(value, list):
        return list(strings(value))
    items = list(strings(value))
    if not items or not all(isinstance(one, str | int | float) for one in value):
        return items
    return items if " " in items[0].strip() else [shlex.join(items)]


def clean(text: str) -> str:
    """Text that can be encoded: halves of surrogate pairs are replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _under(value: Any, names: Collection[str]) -> Iterator[Any]:
    if isinstance(value, dict):
        for name, found in value.items():
            if name in names:
                yield from found
            else:
                yield from _under(found, names)
    elif isinstance(value, list):
        for one in value:
            yield from _under(one, names)


def _parsed(text: str) -> Any:
    """The value of JSON text, objects as `Fields`; None where it is no JSON."""
    try:
        return None if _is_deep(text) else _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None


def _is_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= DEEPEST:
        return False
    depth = 0
    for bracket in _BRACKET.finditer(text):
        depth += 1 if bracket[0] in "[{" else -1 if bracket[0] in "]}" else 0
        if depth > DEEPEST:
            return True
    return False


def _fields(pairs: list[tuple[str, Any]]) -> Fields:
    found: Fields = {}
    for name, value in pairs:
        found.setdefault(plain(name), []).append(value)
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_fields, strict=False)


def _salvaged(text: str) -> Arguments:
    fields: Fields = {}
    whole = [clean(text)]
    for name, value in _FIELD.findall(text):
        said = _unescaped(value or name)
        whole.append(said)
        if value:
            fields.setdefault(plain(_unescaped(name)), []).append(said)
    return Arguments(fields, tuple(whole))


def _unescaped(text: str) -> str:
    def character(found: re.Match[str]) -> str:
        return chr(int(found[1], 16)) if found[1] else _ESCAPED.get(found[2], found[2])

    return clean(_ESCAPE.sub(character, text))
