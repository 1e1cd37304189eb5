"""The JSON form of events, in the names of CloudEvents 1.0: what `tail --json`, exports and `schemas/` speak.

The log itself is MessagePack (`pack`). Both directions lose nothing: bytes are text where they are valid UTF-8 and
`{"$base64": ...}` where not, and fields and types that this release does not know are carried on.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zlib import crc32

import msgspec

from luthien_stream.errors import PackError
from luthien_stream.events.log import AnyEvent
from luthien_stream.events.pack import TYPES, decode_event, encode_event, type_of

BASE64 = "$base64"
SEQUENCE_DIGITS = 10
ENVELOPE = frozenset({"type", "call", "n", "time", "prev", "cause", "trace", "extra"})
"""Fields of the log that have a name of their own in CloudEvents; all others are `data`."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_json(event: AnyEvent, src: str, entry: str | None = None) -> dict[str, Any]:
    """Return the JSON form of an event of the producer `src`; `entry` is the stream entry that held it, if known."""
    fields = msgspec.msgpack.decode(encode_event(event))
    kind = type_of(event)
    form: dict[str, Any] = {"specversion": "1.0", "id": _identity(event, src), "source": src, "type": kind}
    if event.time and (time := _rfc3339(event.time)):
        form["time"] = time
    if event.n >= 0:
        form["sequence"] = f"{event.n:0{SEQUENCE_DIGITS}}"
    if event.prev >= 0:
        form["prevdigest"] = f"{event.prev:08x}"
    named = {"correlationid": event.call, "causationid": fields.get("cause"), "traceparent": fields.get("trace")}
    form |= {name: value for name, value in named.items() if value}
    if entry is not None:
        form["entryid"] = entry
    raw_fields = _bytes_fields(kind)
    data = {name: _text(value) if name in raw_fields else _plain(value) for name, value in fields.items()}
    form["data"] = {name: value for name, value in data.items() if name not in ENVELOPE}
    return form


def from_json(form: Mapping[str, Any]) -> tuple[str, AnyEvent]:
    """Return (producer, event) from the JSON form. Raises `PackError` where it is none."""
    try:
        kind = str(form["type"])
        fields = {"type": kind, "call": form.get("correlationid", "")}
        fields |= {"n": int(form["sequence"])} if "sequence" in form else {}
        fields |= {"time": _microseconds(form["time"])} if "time" in form else {}
        fields |= {"prev": int(form["prevdigest"], 16)} if "prevdigest" in form else {}
        fields |= {name: form[key] for name, key in (("cause", "causationid"), ("trace", "traceparent")) if key in form}
        raw_fields = _bytes_fields(kind)
        fields |= {k: _bytes(v) if k in raw_fields else _rich(v) for k, v in form.get("data", {}).items()}
        return str(form["source"]), decode_event(msgspec.msgpack.encode(fields))
    except (KeyError, TypeError, ValueError) as error:
        raise PackError(f"This is no event in JSON form: {error}") from error


@lru_cache
def _bytes_fields(kind: str) -> frozenset[str]:
    cls = TYPES.get(kind)
    return frozenset(f.name for f in msgspec.structs.fields(cls) if f.type is bytes) if cls else frozenset()


def _identity(event: AnyEvent, src: str) -> str:
    """An ordinal names an event. Events without one are repeated at will: the same content has the same name."""
    if event.n >= 0:
        return f"{event.call}/{src}/{event.n}"
    return f"{event.call}/{src}/{type_of(event)}/{crc32(encode_event(event)):08x}"


def _rfc3339(microseconds: int) -> str:
    """The time as text; empty for one that no calendar has, as when a stage writes nanoseconds."""
    try:
        return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except OverflowError:
        return ""


def _microseconds(time: str) -> int:
    return (datetime.fromisoformat(time) - _EPOCH) // _MICROSECOND


def _text(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return _plain(value)


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else b64decode(value[BASE64], validate=True)


def _plain(value: Any) -> Any:
    """Where no type says that bytes are meant, they are always marked."""
    if isinstance(value, bytes):
        return {BASE64: b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _rich(value: Any) -> Any:
    if isinstance(value, Mapping):
        return b64decode(value[BASE64]) if value.keys() == {BASE64} else {key: _rich(one) for key, one in value.items()}
    return [_rich(one) for one in value] if isinstance(value, list) else value
