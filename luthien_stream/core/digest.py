"""The digest of a lane: a running CRC-32 that every hop checks, so that two runs are never spliced unnoticed."""

from __future__ import annotations

from hashlib import sha256
from typing import Any
from zlib import crc32

import msgspec

from luthien_stream.events.log import AnyEvent, ChunkReleased, Unknown

EMPTY = 0
"""The digest of a lane with nothing in it."""

_ENVELOPE = frozenset({"call", "n", "time", "prev", "cause", "trace", "extra"})
_ENCODER = msgspec.msgpack.Encoder()
_SORTED = msgspec.msgpack.Encoder(order="deterministic")


def chain(digest: int, event: AnyEvent) -> int:
    """Return the digest of a lane after one more event: its type and content, whoever wrote it and when."""
    if type(event) is ChunkReleased:
        return crc32(event.frame, digest)
    return crc32(_content(event), digest)


def digest_of(kind: str, args: Any) -> str:
    """Return the digest of what an effect asks for: 16 hex digits, the same whatever the order of keys in `args`."""
    return sha256(_SORTED.encode([kind, args])).hexdigest()[:16]


def _content(event: AnyEvent) -> bytes:
    """Fields by name without defaults: a field that an older release does not know changes nothing for it."""
    if isinstance(event, Unknown):
        fields: dict[str, Any] = event.fields
    else:
        fields = {**msgspec.to_builtins(event, builtin_types=(bytes,)), **event.extra}
        if fields.get("body_ref"):
            fields.pop("body", None)  # a reader may have fetched it; the log has its name only
    return _ENCODER.encode(sorted((k, v) for k, v in fields.items() if k not in _ENVELOPE))
