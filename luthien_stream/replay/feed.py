"""What a stage was given of a recorded call, in the order in which a rebuild reads it, and what it put out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from luthien_stream.core.accept import CUT
from luthien_stream.core.digest import EMPTY, chain
from luthien_stream.core.partition import partition_of
from luthien_stream.core.program import SAMPLE
from luthien_stream.core.stagecall import MAX_BODY
from luthien_stream.errors import LuthienError
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    EffectRecorded,
    Hop,
    PolicyBypassed,
    RequestReceived,
    RequestReleased,
    ResponseAborted,
    SampleRequested,
    Slip,
    Terminal,
)
from luthien_stream.events.slip import watches
from luthien_stream.policy.facts import CallFacts
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.record.lanes import Record, StoredChunk, StoredEvent


class NotWhole(LuthienError):
    """What is on record of this call does not do for running it again: the message says what is missing."""


class Input(Struct, frozen=True):
    """One event as a stage took it. `entry` orders them as the log did."""

    entry: int
    src: str
    event: AnyEvent


class Given(Struct):
    """All that a stage was given of one call."""

    inputs: list[Input]
    """Of the call and of answers that policies drew, in the order of the log."""
    effects: list[Input]
    """Recorded results, in order; without the one that says that the call was cut."""
    cut: EffectRecorded | None = None
    """The call was ended early here."""


def request_of(record: Record) -> RequestReceived:
    """The call's request with its body, as the edge published it. Raises `NotWhole`."""
    for stored in record.events:
        if isinstance(stored.event, RequestReceived) and stored.src.startswith("edge:"):
            return with_body(stored.event, record)  # type: ignore[return-value]
    raise NotWhole(f"The request of the call {record.call_id} is not on record")


def edge_of(record: Record) -> str:
    """The source of the original lane. Raises `NotWhole`."""
    for stored in record.events:
        if isinstance(stored.event, RequestReceived) and stored.src.startswith("edge:"):
            return stored.src
    raise NotWhole(f"The request of the call {record.call_id} is not on record")


def watchers_of(record: Record) -> list[str]:
    """The keys of the stages that watched the call and said something of it."""
    return sorted({s.src.removeprefix("stage:") for s in record.events if watches(s.src) and s.n >= 0})


def given(record: Record, stage: str, slip: Slip) -> Given:
    """What a stage on the call's way was given. Raises `NotWhole`."""
    place = slip.place(stage)
    src = edge_of(record) if place == 0 else f"stage:{slip.hops[place - 1].stage}"
    return _given(record, stage, lane(record, src))


def given_beside(record: Record, pipeline: Pipeline) -> Given:
    """What a stage that only watches was given: the original lane under a slip of its own. Raises `NotWhole`."""
    stage, src = pipeline.stage, edge_of(record)
    inputs = lane(record, src)
    opened = request_of(record)
    phases = pipeline.narrowed(CallFacts.of(opened)).phases
    slip = Slip(pipeline.version, (Hop(stage, partition_of(record.call_id), phases),), f"stage:{stage}")
    first = replace(inputs[0], event=replace(opened, slip=slip))
    if "response" not in phases:
        return _given(record, stage, [first])
    if not isinstance(inputs[-1].event, Terminal):
        end = ResponseAborted(call=record.call_id, n=len(inputs), lane="original", reason="no_answer")
        inputs.append(Input(inputs[-1].entry, src, end))
    return _given(record, stage, [first, *inputs[1:]])


def given_up(record: Record) -> str:
    """Why the copy for those that watch was given up, empty if it was not."""
    notes = (s.event for s in record.events if isinstance(s.event, PolicyBypassed) and s.src.startswith("record:"))
    return next((note.why for note in notes), "")


def lane(record: Record, src: str) -> list[Input]:
    """All numbered events of a source, in order. Raises `NotWhole` that names the first ordinal that is missing."""
    found = {stored.n: Input(stored.entry, src, stored.event) for stored in record.events if _of(stored, src)}
    found |= {n: Input(chunk.entry, src, event_of(record, chunk)) for n, chunk in record.chunks.get(src, {}).items()}
    upto = max(found, default=-1)
    missing = next((n for n in range(upto) if n not in found), None)
    if missing is not None:
        raise NotWhole(f"The event {missing} of {src} is missing in the record of the call {record.call_id}")
    if not found:
        raise NotWhole(f"Nothing of {src} is on record for the call {record.call_id}")
    whole = [replace(one, event=with_body(one.event, record)) for _, one in sorted(found.items())]
    return _chained(whole) if src.startswith("stage:") else whole


def _chained(inputs: list[Input]) -> list[Input]:
    """Chunks are stored without the digest of what is before them: put it back."""
    digest = EMPTY
    for one in inputs:
        if isinstance(one.event, ChunkReleased):
            one.event.prev = digest
        digest = chain(digest, one.event)
    return inputs


def said_beside(record: Record, src: str) -> list[Input]:
    """What is on record of a stage that only watches: not all of its lane."""
    return [Input(stored.entry, src, with_body(stored.event, record)) for stored in record.events if _of(stored, src)]


def _of(stored: StoredEvent, src: str) -> bool:
    return stored.src == src and stored.n >= 0


def event_of(record: Record, chunk: StoredChunk) -> AnyEvent:
    """A chunk as the event that it was; one released as it came has the bytes of the original lane."""
    head: dict[str, Any] = {"call": record.call_id, "n": chunk.n, "time": chunk.time, "kind": chunk.kind}
    if chunk.origin is None:
        return ChunkReceived(frame=chunk.frame, **head)
    if chunk.origin < 0:
        return ChunkReleased(frame=chunk.frame, of=chunk.origin, **head)
    source = record.chunks.get(edge_of(record), {}).get(chunk.origin)
    if source is None:
        raise NotWhole(f"The event {chunk.origin} of the original lane is missing in the record of {record.call_id}")
    return ChunkReleased(frame=source.frame, of=chunk.origin, **head)


def with_body(event: AnyEvent, record: Record) -> AnyEvent:
    """An event with its body, as it stood in the log: a small one inline, a large one by its name too."""
    if not isinstance(event, RequestReceived | RequestReleased | SampleRequested) or not event.body_ref or event.body:
        return event
    body = record.bodies.get(event.body_ref)
    if body is None:
        raise NotWhole(f"The body {event.body_ref[:12]}… of the call {record.call_id} is not on record")
    return replace(event, body=body, body_ref=event.body_ref if len(body) > MAX_BODY else "")


def _given(record: Record, stage: str, own: Sequence[Input]) -> Given:
    effects = [
        Input(stored.entry, stored.src, stored.event)
        for stored in record.events
        if isinstance(stored.event, EffectRecorded) and stored.src == f"stage:{stage}"
    ]
    cut = next((one.event for one in effects if one.event.key == CUT), None)  # type: ignore[union-attr]
    asked = [s.event.key for s in record.events if isinstance(s.event, SampleRequested) and s.src == f"stage:{stage}"]
    drawn = [one for key in dict.fromkeys(asked) for one in _drawn(record, f"{SAMPLE}{key}")]
    inputs = sorted([*own, *drawn], key=lambda one: one.entry)  # stable: ordinals of one source stay in order
    return Given(inputs, [one for one in effects if one.event is not cut], cut)  # type: ignore[arg-type]


def _drawn(record: Record, src: str) -> Iterator[Input]:
    """An answer that a policy drew, as far as it came."""
    found = {stored.n: Input(stored.entry, src, stored.event) for stored in record.events if _of(stored, src)}
    found |= {n: Input(chunk.entry, src, event_of(record, chunk)) for n, chunk in record.chunks.get(src, {}).items()}
    yield from (one for _, one in sorted(found.items()))
