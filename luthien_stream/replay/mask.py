"""A recorded call without the secrets that a scan finds: for files that leave the house.

Lanes go through the policy `secret_redact`, which finds a secret however the stream cut it; all other text is masked
where it stands. Ordinals and digests of the lanes are lost with that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

import msgspec
from msgspec.structs import replace

from luthien_stream.errors import LuthienError
from luthien_stream.events.json_form import from_json, to_json
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    RequestReceived,
    ResponseCompleted,
    ResponseStarted,
    Slip,
)
from luthien_stream.formats import LENSES
from luthien_stream.policy.catalogue import find
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.program import PolicyProgram
from luthien_stream.record.lanes import Record, StoredChunk, StoredEvent
from luthien_stream.replay.feed import NotWhole, edge_of, event_of, request_of
from luthien_stream.text.carriers import edited_json
from luthien_stream.text.flow import edited
from luthien_stream.text.known_secrets import KNOWN
from luthien_stream.text.placeholder import placeholder
from luthien_stream.text.secret_scan import SecretScan
from luthien_stream.text.secrets import Finder

_FINDER = Finder(KNOWN)


def masked(record: Record) -> Record:
    """Return the call without secrets, with its lanes numbered anew. Raises `NotWhole`."""
    if record.masked:
        return record
    request = request_of(record)
    key = f"{request.key}/{request.session}"
    made = Record(record.call_id, [], {}, label=record.label, masked=True)
    made.pipelines = msgspec.json.decode(_json(key, msgspec.json.encode(record.pipelines)))
    made.policies = record.policies
    names: dict[str, str] = {}
    for ref, body in record.bodies.items():
        clean = _json(key, body)
        names[ref] = sha256(clean).hexdigest()
        made.bodies[names[ref]] = clean
    for src in sorted({s.src for s in record.events} | record.chunks.keys()):
        if not src.startswith("provider:"):
            _source(record, made, src, request, key, names)
    made.events.sort(key=lambda stored: (stored.entry, stored.n))
    return made


def _source(record: Record, made: Record, src: str, request: RequestReceived, key: str, names: dict[str, str]) -> None:
    """One source: its events with their text masked, its chunks redacted, all numbered in their old order."""
    events = sorted((s for s in record.events if s.src == src), key=lambda stored: stored.n)
    chunks = [chunk for _, chunk in sorted(record.chunks.get(src, {}).items())]
    frames = _frames(record, request, chunks, src)
    kept: list[tuple[int, int, Any]] = [(s.n, s.entry, s.event) for s in events]
    for at, (frame, kind) in enumerate(frames):
        like = chunks[min(at, len(chunks) - 1)]
        origin = None if src == edge_of(record) or src.startswith("sample:") else -1
        kept.append((like.n, like.entry, StoredChunk(0, like.time, kind, frame, origin, like.entry)))
    kept.sort(key=lambda one: one[0])
    n = 0
    for old, entry, one in kept:
        number = n if old >= 0 else -1
        n += old >= 0
        if isinstance(one, StoredChunk):
            made.chunks.setdefault(src, {})[number] = replace(one, n=number)
        else:
            made.events.append(StoredEvent(src, number, entry, _event(one, src, number, key, names)))


def _event(event: AnyEvent, src: str, number: int, key: str, names: dict[str, str]) -> AnyEvent:
    form = to_json(event, src)
    text = _json(key, msgspec.json.encode(form["data"]))
    form["data"] = msgspec.json.decode(text)
    form.pop("prevdigest", None)
    if "sequence" in form:
        form["sequence"] = str(number)
    ref = form["data"].get("body_ref", "")
    if ref:
        form["data"]["body_ref"] = names.get(ref, "")
    return from_json(form)[1]


def _frames(
    record: Record, request: RequestReceived, chunks: Sequence[StoredChunk], src: str
) -> list[tuple[bytes, Any]]:
    """The frames of a lane without secrets. What cannot be read is left out: it may hold some."""
    if not chunks:
        return []
    streamed = chunks[0].kind != "body"
    pipeline = Pipeline.of(find("secret_redact")())
    program = PolicyProgram(pipeline, LENSES)
    hello = replace(request, slip=Slip(), body=_HELLO, body_ref="", streamed=streamed)
    if src.startswith("sample:") and not streamed:
        hello.format = "openai_chat"
    inputs: list[AnyEvent] = [
        hello,
        ResponseStarted(call=record.call_id, status=_status(record, src), streamed=streamed),
    ]
    inputs += [replace(_received(record, chunk), time=chunk.time) for chunk in chunks]
    inputs.append(ResponseCompleted(call=record.call_id, lane="original"))
    found: list[tuple[bytes, Any]] = []
    try:
        for event in inputs:
            program.feed(event)
            found += _released(program.advance())
    except LuthienError:
        return []
    if _status(record, src) >= 400:
        return [(_json("", frame), kind) for frame, kind in found]
    return found


def _received(record: Record, chunk: StoredChunk) -> ChunkReceived:
    event = event_of(record, chunk)
    return ChunkReceived(call=record.call_id, n=chunk.n, frame=event.frame, kind=chunk.kind)  # type: ignore[union-attr]


def _released(events: Iterable[AnyEvent]) -> list[tuple[bytes, Any]]:
    return [(event.frame, event.kind) for event in events if isinstance(event, ChunkReleased)]


def _status(record: Record, src: str) -> int:
    own = (s.event.status for s in record.events if s.src == src and isinstance(s.event, ResponseStarted))
    return next(own, 200)


def _json(key: str, data: bytes) -> bytes:
    """JSON with the secrets in its texts masked; other text as a whole."""
    make = _scan(key)
    text = data.decode("utf-8", "replace")
    try:
        msgspec.json.decode(data)
    except msgspec.MsgspecError:
        return edited(make(), text).encode()
    return edited_json(make, text).encode()


def _scan(key: str) -> Any:
    return lambda: SecretScan(_FINDER, lambda rule, secret: placeholder(key, secret))


_HELLO = msgspec.json.encode(
    {"model": "any", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}], "input": "x"}
)

__all__ = ["NotWhole", "masked"]
