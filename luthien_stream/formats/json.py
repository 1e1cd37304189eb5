"""JSON with its spelling kept: an edit decodes only the containers on its way, all else stays byte for byte.

msgspec reads, and where it refuses what clients and providers do send (lone surrogates, NaN) the standard library does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw

Path = Sequence[str | int]
T = TypeVar("T")

DROP: Final = object()
"""As the value of an edit: take the field or item out."""

_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_ARRAY = msgspec.json.Decoder(list[Raw])


def parse(data: bytes | Raw) -> Any:
    """Any JSON value. Raises `ValueError` where it is none."""
    return parse_as(msgspec.json.Decoder(), data)


def parse_as(decoder: msgspec.json.Decoder[T], data: bytes | Raw) -> T:
    """A value of the decoder's type. Raises `ValueError` where the data is no JSON or of another type."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.convert(_tolerant(bytes(data)), decoder.type)
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None


def dump(value: Any) -> bytes:
    """JSON on one line; lone surrogates are escaped. `Raw` values are written as they are."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), default=_plain).encode()


def fields(data: bytes | Raw) -> dict[str, Raw]:
    """The fields of an object, unparsed. Raises `ValueError` where it is none."""
    try:
        return _OBJECT.decode(data)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = _tolerant(bytes(data))
        if not isinstance(found, dict):
            raise ValueError("not a JSON object") from None
        return {key: Raw(dump(value)) for key, value in found.items()}
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None


def items(data: bytes | Raw) -> list[Raw]:
    """The items of an array, unparsed. Raises `ValueError` where it is none."""
    try:
        return _ARRAY.decode(data)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = _tolerant(bytes(data))
        if not isinstance(found, list):
            raise ValueError("not a JSON array") from None
        return [Raw(dump(value)) for value in found]


def edit(data: bytes | Raw, path: Path, value: Any) -> bytes:
    """Set, or `DROP`, what is at a path; a missing key, or the position behind the last, is added at the end."""
    if not path:
        return dump(value)
    step, deeper = path[0], path[1:]
    if isinstance(step, str):
        known = fields(data)
        if value is DROP and not deeper:
            known.pop(step, None)
        else:
            known[step] = Raw(edit(known.get(step, b"{}"), deeper, value))
        return dump(known)
    listed = items(data)
    if value is DROP and not deeper:
        del listed[step]
    elif step == len(listed):
        listed.append(Raw(edit(b"{}", deeper, value)))
    else:
        listed[step] = Raw(edit(listed[step], deeper, value))
    return dump(listed)


def edit_all(data: bytes | Raw, changes: Mapping[tuple[str | int, ...], Any]) -> bytes:
    """Set what is at several paths, none inside another; each container on their ways is read once."""
    if () in changes:
        return dump(changes[()])
    deeper: dict[str | int, dict[tuple[str | int, ...], Any]] = {}
    for path, value in changes.items():
        deeper.setdefault(path[0], {})[path[1:]] = value
    if isinstance(next(iter(deeper)), str):
        known = fields(data)
        for step, inner in deeper.items():
            known[str(step)] = Raw(edit_all(known.get(str(step), b"{}"), inner))
        return dump(known)
    listed = items(data)
    for step, inner in deeper.items():
        listed[int(step)] = Raw(edit_all(listed[int(step)], inner))
    return dump(listed)


def _tolerant(data: bytes) -> Any:
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Raw):
        return json.loads(bytes(value))
    raise TypeError(f"{type(value).__name__} is not JSON")
