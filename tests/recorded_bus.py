"""The calls that a bus in memory has seen, as the recorder would keep them; and that they can be run again."""

from __future__ import annotations

from collections.abc import Iterable

from luthien_stream.activity.fold import Delivery, fold
from luthien_stream.activity.rows import Rows
from luthien_stream.bus.memory import MemoryBus
from luthien_stream.bus.port import START
from luthien_stream.events.log import EffectRecorded, RequestReceived, RequestReleased, Terminal
from luthien_stream.events.pack import COPIES, decode, decode_event, is_from
from luthien_stream.policy.stages import Stage
from luthien_stream.record.lanes import Record, StoredEvent
from luthien_stream.record.runs import chunks_of
from luthien_stream.replay.installed import Installed
from luthien_stream.replay.result import Comparison
from luthien_stream.replay.verify import verify


async def records(bus: MemoryBus) -> list[Record]:
    """Every call that the bus still has from its beginning."""
    deliveries = []
    for stream in list(bus.data.streams):
        for entry in await bus.range(stream, START, count=10_000_000):
            if not is_from(entry.raw, COPIES):
                deliveries.append(Delivery(stream, entry.id, decode(entry.raw)))
    rows = fold(deliveries)
    bodies = dict(rows.bodies)
    for ref in rows.refs & bus.data.bodies.keys():
        bodies[ref] = bus.data.bodies[ref].body
    return [_record(call.call_id, rows, bodies) for call in rows.calls]


def _record(call: str, rows: Rows, bodies: dict[str, bytes]) -> Record:
    events = [
        StoredEvent(row.src, row.n, row.entry, decode_event(row.raw)) for row in rows.events if row.call_id == call
    ]
    runs = [{name: getattr(run, name) for name in run.__struct_fields__} for run in rows.runs if run.call_id == call]
    events.sort(key=lambda stored: (stored.entry, stored.n))
    return Record(call, events, chunks_of(runs), bodies)


async def verified(bus: MemoryBus, stages: Iterable[Stage]) -> list[Comparison]:
    """All ended calls of the bus, run again through the stages that they passed."""
    installed = Installed(stages)
    return [verify(record, installed) for record in await records(bus) if is_ended(record)]


def is_ended(record: Record) -> bool:
    """Whether nothing more will come: a stage has ended the lane, or let a call go that it does not answer."""
    slips = [s.event.slip for s in record.events if isinstance(s.event, RequestReceived) and s.src.startswith("edge:")]
    if not slips or not slips[0].hops:
        return bool(slips)
    last = [s.event for s in record.events if s.src == slips[0].speaker and s.n >= 0]
    over = (Terminal, RequestReleased) if slips[0].final_by == "edge" else Terminal
    cut = any(isinstance(s.event, EffectRecorded) and s.event.key == "cut" for s in record.events)
    return cut or any(isinstance(event, over) for event in last)
