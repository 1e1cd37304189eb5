"""Packs: what one stream entry holds, many events of many calls in MessagePack.

The hot way decodes straight into structs. Only a pack with a type, a field or a choice that this release does not
know takes the slow way, which keeps what it does not know: see `Unknown` and `LogEvent.extra`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal, get_args, get_origin

import msgspec
from msgspec import Struct

from luthien_stream.errors import PackError
from luthien_stream.events import log
from luthien_stream.events.log import AnyEvent, Known, Unknown
from luthien_stream.events.slip import known_part


class Pack(Struct):
    """Events of one producer. `src` is `edge:<incarnation>`, `stage:<stage key>`, `console:<id>` or `sample:<key>`."""

    src: str
    events: list[Any]


class _Typed(Struct):
    src: str
    events: list[Known]


class _Loose(Struct):
    src: str
    events: list[msgspec.Raw]


class _Envelope(Struct):
    """What must be readable of an event of any type."""

    type: str
    call: str
    n: int = -1
    time: int = 0
    prev: int = -1


_HEAD = 24
"""Bytes of a pack in which its source begins."""
COPIES, WATCHERS = b"shadow:", b"stage:shadow@"
"""Sources: an edge's copy of a lane for those who only watch, all of which lies elsewhere too; and those themselves."""
_ENCODER = msgspec.msgpack.Encoder()
_WRONG = (msgspec.MsgspecError, UnicodeDecodeError)
"""What a decoder raises: text that is no UTF-8 is an error of another family."""
_TYPED = msgspec.msgpack.Decoder(_Typed)
_LOOSE = msgspec.msgpack.Decoder(_Loose)
_EVENT: msgspec.msgpack.Decoder[Known] = msgspec.msgpack.Decoder(Known)
_FIELDS = msgspec.msgpack.Decoder(dict[str, Any])
TYPES: dict[str, type[log.LogEvent]] = {str(cls.__struct_config__.tag): cls for cls in Known.__args__}


def encode(src: str, events: Iterable[AnyEvent]) -> bytes:
    """Return the bytes of one stream entry."""
    return _ENCODER.encode(Pack(src, [_plain(e) if isinstance(e, Unknown) or e.extra else e for e in events]))


def join(src: str, events: Sequence[bytes]) -> bytes:
    """Return the bytes of one stream entry from at most 65,535 events that were encoded alone."""
    n = len(events)
    size = bytes((0x90 | n,)) if n < 16 else b"\xdc" + n.to_bytes(2, "big")  # MessagePack's fixarray and array 16
    return b"".join((beginning(src), size, *events))


@lru_cache(maxsize=64)
def beginning(src: str) -> bytes:
    """Return the first bytes of every pack of a source: all but the array of its events."""
    return _ENCODER.encode(Pack(src, [])).removesuffix(b"\x90")


def is_from(raw: bytes, kind: bytes) -> bool:
    """Say whether a pack's source begins like this, without decoding it."""
    return kind in raw[:_HEAD]


def decode(raw: bytes) -> Pack:
    """Return what one stream entry holds. Raises `PackError` where the bytes are no pack."""
    try:
        typed = _TYPED.decode(raw)
    except _WRONG:
        return _decode_loose(raw)
    return Pack(typed.src, typed.events)


def encode_event(event: AnyEvent) -> bytes:
    """Return one event alone, as spill lists and dead letters keep it."""
    return _ENCODER.encode(_plain(event) if isinstance(event, Unknown) or event.extra else event)


def decode_event(raw: bytes) -> AnyEvent:
    """Return one event that was encoded alone. Raises `PackError`."""
    try:
        return _EVENT.decode(raw)
    except _WRONG:
        return _decode_fields(raw)


def type_of(event: AnyEvent) -> str:
    """Return the event's type name, as in `chunk.received`."""
    if isinstance(event, Unknown):
        return str(event.fields.get("type", ""))
    return str(type(event).__struct_config__.tag)


def _decode_loose(raw: bytes) -> Pack:
    try:
        loose = _LOOSE.decode(raw)
    except _WRONG as error:
        raise PackError(f"A stream entry of {len(raw)} bytes is no pack: {error}") from error
    return Pack(loose.src, [decode_event(bytes(one)) for one in loose.events])


def _decode_fields(raw: bytes) -> AnyEvent:
    try:
        fields = _FIELDS.decode(raw)
    except _WRONG as error:
        raise PackError(f"An event of {len(raw)} bytes cannot be decoded: {error}") from error
    kind = fields.get("type")
    cls = TYPES.get(str(kind))
    try:
        msgspec.convert(fields, _Envelope)
        return Unknown(fields) if cls is None or _has_unknown_choice(cls, fields) else _known(cls, fields)
    except msgspec.ValidationError as error:
        raise PackError(f"An event of type {kind} has a wrong field: {error}") from error


def _known(cls: type[log.LogEvent], fields: dict[str, Any]) -> AnyEvent:
    """Read the fields that this release knows; what else there is goes to `extra`, a slip of a newer release whole."""
    names = {*cls.__struct_encode_fields__} - {"extra"}  # `structs.fields` would evaluate annotations: milliseconds
    known = {name: value for name, value in fields.items() if name in names}
    extra = {name: value for name, value in fields.items() if name not in names and name != "type"}
    if "slip" in known:
        known["slip"] = known_part(fields["slip"])
        extra |= {"slip": fields["slip"]} if known["slip"] != fields["slip"] else {}
    event = msgspec.convert(known, cls, strict=False)
    event.extra = extra
    return event  # type: ignore[return-value]


def _has_unknown_choice(cls: type[log.LogEvent], fields: dict[str, Any]) -> bool:
    """Whether a field that takes one of a few words has another word, of a newer release."""
    return any(isinstance(fields.get(name), str) and fields[name] not in words for name, words in _choices(cls))


@lru_cache
def _choices(cls: type[log.LogEvent]) -> list[tuple[str, tuple[str, ...]]]:
    return [(f.name, get_args(f.type)) for f in msgspec.structs.fields(cls) if get_origin(f.type) is Literal]


def _plain(event: AnyEvent) -> dict[str, Any]:
    if isinstance(event, Unknown):
        return event.fields
    fields: dict[str, Any] = msgspec.to_builtins(event, builtin_types=(bytes,))
    return {**{k: v for k, v in fields.items() if k != "extra"}, **event.extra}
