"""Recorded calls from elsewhere into the store, the same way as from the log: the same file twice changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from luthien_stream.activity.fold import SEQUENCE_BITS, Delivery, fold
from luthien_stream.activity.rows import PipelineRow, Rows
from luthien_stream.activity.store import Store
from luthien_stream.events.log import AnyEvent, ChunkReceived, ChunkReleased, RequestReceived
from luthien_stream.events.pack import Pack
from luthien_stream.record.lanes import Record, StoredChunk


async def write_records(store: Store, records: Sequence[Record]) -> list[Record]:
    """Write those of these calls that are not there, all or none of them; return which these were.

    One that is there stays as it is: a copy without secrets must not mix with its original. Raises `StoreUnavailable`,
    `StoreRefused`.
    """
    given = {record.call_id: record for record in reversed(records)}
    known = {row["call_id"] for row in await store.fetch("known_calls", sorted(given))}
    new = [record for call, record in sorted(given.items()) if call not in known]
    rows = Rows()
    for each in map(rows_of, new):
        rows.calls += each.calls
        rows.events += each.events
        rows.runs += each.runs
        rows.pipelines += [row for row in each.pipelines if row not in rows.pipelines]
        rows.bodies |= each.bodies
    if new:
        await store.write(rows)
    return new


def rows_of(record: Record) -> Rows:
    """The rows that the fold makes of a call. Its bodies are named by the events, as in the log."""
    entries: dict[int, dict[str, list[AnyEvent]]] = {}
    for stored in record.events:
        entries.setdefault(stored.entry, {}).setdefault(stored.src, []).append(stored.event)
    for src, chunks in record.chunks.items():
        for chunk in chunks.values():
            entries.setdefault(chunk.entry, {}).setdefault(src, []).append(_event(record.call_id, chunk))
    rows = fold(_deliveries(entries))
    rows.refs.clear()
    rows.bodies = {**record.bodies}
    for key, written in record.pipelines.items():
        rows.pipelines.append(_pipeline(key, written, record.policies.get(key, [])))
    return rows


def with_session(record: Record, prefix: str) -> Record:
    """The call with its session under a prefix, so that two imports stay apart."""
    events = [
        replace(s, event=replace(s.event, session=prefix + s.event.session))
        if isinstance(s.event, RequestReceived) and s.event.session
        else s
        for s in record.events
    ]
    return replace(record, events=events)


def _deliveries(entries: dict[int, dict[str, list[AnyEvent]]]) -> Iterator[Delivery]:
    for entry, sources in sorted(entries.items()):
        id = f"{entry >> SEQUENCE_BITS}-{entry & (1 << SEQUENCE_BITS) - 1}"
        for src, events in sources.items():
            yield Delivery("import", id, Pack(src, sorted(events, key=lambda event: event.n)))


def _event(call: str, chunk: StoredChunk) -> AnyEvent:
    if chunk.origin is None:
        return ChunkReceived(call=call, n=chunk.n, time=chunk.time, frame=chunk.frame, kind=chunk.kind)
    return ChunkReleased(call=call, n=chunk.n, time=chunk.time, frame=chunk.frame, kind=chunk.kind, of=chunk.origin)


def _pipeline(key: str, written: Any, policies: Sequence[tuple[str, str]]) -> PipelineRow:
    return PipelineRow(key, msgspec.json.encode(written).decode(), msgspec.json.encode(policies).decode(), 0)
