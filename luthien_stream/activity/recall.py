"""Many calls out of the record at once, for those who run them again: three queries a batch, not six a call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from luthien_stream.activity.find import Selection, condition
from luthien_stream.activity.store import Store
from luthien_stream.events.pack import decode_event
from luthien_stream.record.lanes import Record, StoredEvent, stages_of
from luthien_stream.record.runs import chunks_of


async def choose(store: Store, selection: Selection) -> list[tuple[str, str]]:
    """Return the session and id of each call, oldest first."""
    text, args = condition(selection)
    newest = f" LIMIT {int(selection.limit)}" if selection.limit else ""
    rows = await store.select(
        f"SELECT session, call_id FROM calls WHERE {text} ORDER BY time DESC, call_id DESC{newest}", *args
    )
    return [(row["session"], row["call_id"]) for row in reversed(rows)]


async def records_of(store: Store, ids: Sequence[str]) -> list[Record]:
    """Return all that is stored of these calls, in their order, bodies and pipelines too."""
    if not ids:
        return []
    records = {call_id: Record(call_id, [], {}) for call_id in ids}
    between = (list(records), min(ids), max(ids))
    for row in await store.fetch("events_of_many", *between):
        stored = StoredEvent(row["src"], row["n"], row["entry"], decode_event(row["raw"]))
        records[row["call_id"]].events.append(stored)
    runs: dict[str, list[Any]] = {}
    for row in await store.fetch("runs_of_many", *between):
        runs.setdefault(row["call_id"], []).append(row)
    for call_id, rows in runs.items():
        records[call_id].chunks = chunks_of(rows)
    await _add_bodies(store, records)
    await _add_pipelines(store, records)
    for row in await store.fetch("labels_of_many", list(records)):
        records[row["call_id"]].label = row["label"]
    return [records[call_id] for call_id in ids]


async def _add_bodies(store: Store, records: dict[str, Record]) -> None:
    refs = {
        call_id: {ref for s in record.events if (ref := getattr(s.event, "body_ref", ""))}
        for call_id, record in records.items()
    }
    bodies = await store.bodies(set().union(*refs.values()))
    for call_id, record in records.items():
        record.bodies = {ref: bodies[ref] for ref in refs[call_id] if ref in bodies}


async def _add_pipelines(store: Store, records: dict[str, Record]) -> None:
    stages = {call_id: set(stages_of(record)) for call_id, record in records.items()}
    rows = await store.fetch("pipelines", sorted(set().union(*stages.values())))
    for row in rows:
        written = msgspec.json.decode(row["written"])
        policies = [(name, version) for name, version in msgspec.json.decode(row["policies"])]
        for call_id, record in records.items():
            if row["stage"] in stages[call_id]:
                record.pipelines[row["stage"]], record.policies[row["stage"]] = written, policies
