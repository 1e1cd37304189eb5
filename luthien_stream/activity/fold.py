"""The fold: stream entries to rows. Pure; any order, repetition or batching of the same entries makes the same record.

Of two events with one key the lower entry id is the true one: within a batch it is chosen here, between batches by
the store (`ON CONFLICT`) or, for chunks, by whoever reads.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from hashlib import sha256
from itertools import accumulate
from operator import itemgetter
from typing import Any
from zlib import crc32

import msgspec
from msgspec import Struct

from luthien_stream.activity.rows import CallRow, EventRow, PipelineRow, Rows, RunRow
from luthien_stream.bus.ids import order
from luthien_stream.errors import PackError
from luthien_stream.events import pack as packs
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    ChunkSeen,
    RequestReceived,
    RequestReleased,
    SampleRequested,
    StageChanged,
    Unknown,
)
from luthien_stream.events.pack import Pack
from luthien_stream.record.links import digest_of

SEQUENCE_BITS = 20
"""Bits of an entry number that count entries within one millisecond."""

Chunk = ChunkReceived | ChunkReleased
_Asks = RequestReceived | RequestReleased | SampleRequested
_Placed = tuple[int, int, Any]
"""(ordinal, entry number, chunk)"""


class Delivery(Struct, frozen=True):
    """One stream entry with its pack decoded."""

    stream: str
    id: str
    pack: Pack


def entry_number(id: str) -> int:
    """Return a stream entry's id as one number that sorts alike."""
    milliseconds, sequence = order(id)
    return milliseconds << SEQUENCE_BITS | sequence


def fold(deliveries: Iterable[Delivery]) -> Rows:
    """Return the rows of a batch. Raises `PackError` for an event whose envelope cannot be read."""
    chunks: defaultdict[tuple[str, str, type], list[_Placed]] = defaultdict(list)
    others: list[tuple[int, str, AnyEvent]] = []
    for delivery in deliveries:
        entry, src = entry_number(delivery.id), delivery.pack.src
        for event in delivery.pack.events:
            kind = type(event)
            if kind is ChunkReceived or kind is ChunkReleased:
                chunks[event.call, src, kind].append((event.n, entry, event))
            elif kind is not ChunkSeen:
                others.append((entry, src, event))
    rows = _fold_others(others)
    for call, src, kind in sorted(chunks, key=itemgetter(0, 1)):
        for part in _consecutive(chunks[call, src, kind]):
            rows.runs.append(_run(call, src, part, released=kind is ChunkReleased))
    return rows


def _consecutive(chunks: list[_Placed]) -> list[list[_Placed]]:
    """Sort, keep the lowest entry of each ordinal, and split where an ordinal is missing."""
    first = chunks[0][0]
    if [n for n, _, _ in chunks] == list(range(first, first + len(chunks))):
        return [chunks]
    chunks.sort(key=itemgetter(0, 1))
    parts: list[list[_Placed]] = []
    expected = last = -2
    for chunk in chunks:
        n = chunk[0]
        if n == expected:
            parts[-1].append(chunk)
        elif n == last:
            continue
        else:
            parts.append([chunk])
        last, expected = n, n + 1
    return parts


def _run(call: str, src: str, part: list[_Placed], *, released: bool) -> RunRow:
    if released:
        frames = [b"" if chunk.of >= 0 else chunk.frame for _, _, chunk in part]
    else:
        frames = [chunk.frame for _, _, chunk in part]
    columns = (
        call,
        src,
        part[0][0],
        [chunk.time for _, _, chunk in part],
        [entry for _, entry, _ in part],
        "".join([chunk.kind[0] for _, _, chunk in part]),
        list(accumulate(map(len, frames))),
        [chunk.of for _, _, chunk in part] if released else None,
        b"".join(frames),
    )
    return RunRow(*columns, digest=digest_of(*columns))


def _fold_others(others: list[tuple[int, str, AnyEvent]]) -> Rows:
    rows = Rows()
    calls: dict[str, CallRow] = {}
    events: dict[tuple[str, str, int, str], EventRow] = {}
    for entry, src, arrived in others:
        event = arrived
        if isinstance(event, RequestReceived | RequestReleased | SampleRequested):
            event = _without_body(event, rows)
        elif isinstance(event, StageChanged) and event.written:
            rows.pipelines.append(_pipeline_row(event))
        try:
            row = _event_row(event, src, entry)
        except (TypeError, ValueError) as error:  # an unknown type may have anything for its ordinal or time
            raise PackError(f"An event of type {packs.type_of(event)} has a wrong envelope: {error}") from error
        key = (row.call_id, row.src, row.n, row.key)
        if key not in events or entry < events[key].entry:
            events[key] = row
        # A later stage is handed the same request; the row is what the edge said.
        if (
            isinstance(event, RequestReceived)
            and not src.startswith("stage:")
            and (event.call not in calls or entry < calls[event.call].entry)
        ):
            calls[event.call] = call_row(event, entry)
    rows.calls = [calls[call] for call in sorted(calls)]
    rows.events = [events[key] for key in sorted(events)]
    rows.bodies = dict(sorted(rows.bodies.items()))
    rows.refs -= rows.bodies.keys()
    return rows


def _pipeline_row(event: StageChanged) -> PipelineRow:
    written, policies = (msgspec.json.encode(one).decode() for one in (event.written, event.policies))
    return PipelineRow(_text(event.stage), _jsonb(written), _jsonb(policies), event.time)


def _without_body(event: _Asks, rows: Rows) -> _Asks:
    if event.body:
        ref = sha256(event.body).hexdigest()
        rows.bodies[ref] = event.body
        if isinstance(event, SampleRequested):  # its size is said where the log names the body, and nowhere else
            return msgspec.structs.replace(event, body=b"", body_ref=ref)
        return msgspec.structs.replace(event, body=b"", body_ref=ref, body_size=len(event.body))
    if event.body_ref:
        rows.refs.add(event.body_ref)
    return event


def call_row(event: RequestReceived, entry: int) -> CallRow:
    """The row of a call, from what its edge published."""
    return CallRow(
        event.call,
        event.time,
        edge=_text(event.edge),
        format=_text(event.format),
        path=_text(event.path),
        model=_text(event.model),
        streamed=event.streamed,
        session=_text(event.session),
        key=_text(event.key),
        client=_text(event.client),
        version=_text(event.slip.version),
        final_by=_text(event.slip.final_by),
        body_ref=_text(event.body_ref),
        body_size=event.body_size,
        entry=entry,
        user_name=_text(event.user),
        parent=_text(event.cause),
    )


def _event_row(event: AnyEvent, src: str, entry: int) -> EventRow:
    raw, type_name = packs.encode_event(event), packs.type_of(event)
    n = event.n if event.n >= 0 else -1
    key = "" if n >= 0 else _key(event, type_name, entry, raw)
    head = (event.call, src, n, key, _text(type_name), event.time, entry)
    return EventRow(*head, payload_of(event), raw, digest_of(*head, raw))


def _key(event: AnyEvent, type_name: str, entry: int, raw: bytes) -> str:
    """What tells an event without an ordinal from others: its own key if it has one, else its place in the log."""
    own = getattr(event, "key", "")
    stage = getattr(event, "stage", "")
    return f"{type_name}:{stage}:{own}" if own else f"{type_name}:{entry}:{crc32(raw):08x}"


def payload_of(event: AnyEvent) -> str:
    """An event as JSON for queries."""
    type_name = packs.type_of(event)
    try:
        fields = event.fields if isinstance(event, Unknown) else event
        text = msgspec.json.encode(fields)
    except (TypeError, ValueError, msgspec.MsgspecError):
        return msgspec.json.encode({"type": type_name}).decode()  # what JSON cannot say is in `raw` only
    return _jsonb(text.decode())


def _jsonb(text: str) -> str:
    """JSON as PostgreSQL takes it: it has no NUL."""
    if "\\u0000" not in text:
        return text
    return msgspec.json.encode(_without_nul(msgspec.json.decode(text))).decode()


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_text(name): _without_nul(item) for name, item in value.items()}
    return value


def _text(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
