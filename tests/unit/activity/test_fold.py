"""The fold: entries to rows."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthien_stream.activity.fold import Delivery, entry_number, fold
from luthien_stream.activity.rows import EventRow, Rows
from luthien_stream.errors import PackError
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    ChunkSeen,
    EffectRecorded,
    RequestReceived,
    ResponseAborted,
    ResponseCompleted,
    Slip,
    Unknown,
    VerdictReached,
)
from luthien_stream.events.pack import Pack, decode_event
from luthien_stream.record.lanes import Record, StoredEvent, final_lane, original_lane
from luthien_stream.record.runs import chunks_of
from tests.recorded import EDGE, STAGE, made_call, relayed_call

CALLS = [made_call(1), made_call(2, chunks=1), relayed_call(3), relayed_call(4, cut_after=2)]


def deliveries() -> list[Delivery]:
    """The entries of four calls, woven together."""
    longest = max(len(call.packs) for call in CALLS)
    packs = [call.packs[i] for i in range(longest) for call in CALLS if i < len(call.packs)]
    return [Delivery("s", f"{1000 + i // 3}-{i % 3}", Pack(src, events)) for i, (src, events) in enumerate(packs)]


def one(src: str, *events: AnyEvent, id: str = "1-0") -> Delivery:
    """One entry."""
    return Delivery("s", id, Pack(src, list(events)))


def record(batches: Sequence[Rows], call: str) -> Record:
    """What the database would give for a call after these batches."""
    events: dict[tuple[str, int, str], EventRow] = {}
    for row in (row for rows in batches for row in rows.events if row.call_id == call):
        old = events.get((row.src, row.n, row.key))
        if old is None or row.entry < old.entry:
            events[row.src, row.n, row.key] = row
    runs = [msgspec.structs.asdict(run) for rows in batches for run in rows.runs if run.call_id == call]
    ordered = sorted(events.values(), key=lambda row: (row.entry, row.n))
    stored = [StoredEvent(row.src, row.n, row.entry, decode_event(row.raw)) for row in ordered]
    return Record(call, stored, chunks_of(runs))


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_order_repeats_and_batching_do_not_matter(data: st.DataObject) -> None:
    """However the same entries arrive, both lanes are what was received and sent."""
    entries = deliveries()
    again = data.draw(st.lists(st.sampled_from(entries), max_size=20))
    arrived = data.draw(st.permutations(entries + again))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(arrived)), max_size=6)))
    edges = [0, *cuts, len(arrived)]
    batches = [fold(arrived[a:b]) for a, b in pairwise(edges)]
    for call in CALLS:
        found = record(batches, call.call_id)
        assert original_lane(found).raw == call.original
        assert final_lane(found).raw == call.final
        assert original_lane(found).complete
        assert final_lane(found).complete


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_a_lane_with_a_hole_is_not_complete(data: st.DataObject) -> None:
    """A lane is complete when its terminal event and everything before it is there, and not before."""
    entries = deliveries()
    lost = data.draw(st.sampled_from([e for e in entries if e.pack.src in (EDGE, STAGE) and e.pack.events[0].n > 0]))
    found = record([fold(e for e in entries if e is not lost)], lost.pack.events[0].call)
    lane = original_lane(found) if lost.pack.src == EDGE else final_lane(found)
    assert not lane.complete


def test_chunks_of_one_call_make_one_run() -> None:
    """Consecutive ordinals of one batch become one row, with the true bytes once."""
    call = made_call(7, chunks=9)
    rows = fold(one(src, *events, id=f"{i + 1}-0") for i, (src, events) in enumerate(call.packs))
    received, released = rows.runs
    assert (received.first_n, len(received.times), received.frames) == (2, 9, call.original)
    assert released.origins == [2, 3, -1, 5, 6, -1, 8, 9, -1]
    assert received.origins is None
    assert len(released.frames) < len(call.final) / 2


def test_a_missing_ordinal_splits_the_run() -> None:
    """A run has no holes."""
    rows = fold([one(EDGE, *(ChunkReceived(call="c", n=n, frame=b"x") for n in (5, 2, 3, 9)))])
    assert [(run.first_n, len(run.times)) for run in rows.runs] == [(2, 2), (5, 1), (9, 1)]


def test_of_two_copies_the_lower_entry_wins() -> None:
    """Ids are compared as numbers, whatever the order of arrival, for events and for chunks."""
    verdicts = [VerdictReached(call="c", n=0, policy=name, kind="allow") for name in ("late", "true")]
    chunks = [ChunkReceived(call="c", n=1, frame=frame) for frame in (b"late", b"true")]
    entries = [one(STAGE, verdicts[0], chunks[0], id="10-0"), one(STAGE, verdicts[1], chunks[1], id="9-5")]
    rows = fold(entries)
    assert rows.runs[0].frames == b"true"
    assert '"true"' in rows.events[0].payload


def test_entry_numbers_sort_like_ids() -> None:
    """An entry id becomes one number with the same order."""
    ids = ["1-0", "1-9", "1-10", "2-0", "1790000000000-0", "1790000000000-1048575", "1790000000001-0"]
    numbers = [entry_number(id) for id in ids]
    assert numbers == sorted(numbers)
    assert numbers[-1] < 2**63


def test_bodies_are_kept_once_and_by_name() -> None:
    """A body is stored under its SHA-256; a body that lies in the log is named, to be fetched."""
    slip = Slip()
    small = [RequestReceived(call=c, n=0, edge="e", slip=slip, format="f", path="/", body=b"{}") for c in ("a", "b")]
    large = RequestReceived(call="c", n=0, edge="e", slip=slip, format="f", path="/", body_ref="beef", body_size=9)
    rows = fold([one(EDGE, *small, large)])
    assert list(rows.bodies.values()) == [b"{}"]
    assert rows.refs == {"beef"}
    assert [row.body_size for row in rows.calls] == [2, 2, 9]
    assert all(b"{}" not in row.raw for row in rows.events)


def test_effects_are_idempotent_by_their_key() -> None:
    """The first record of an effect counts; a stage's own lane is not touched by it."""
    effects = [EffectRecorded(call="c", key="0:r:0", kind="judge", value=value, stage="main") for value in (1, 2)]
    rows = fold([one(STAGE, effects[1], id="8-0"), one(STAGE, effects[0], id="7-0")])
    [row] = rows.events
    assert (row.n, row.key, row.entry) == (-1, "effect.recorded:main:0:r:0", entry_number("7-0"))


def test_events_without_key_and_ordinal_are_all_kept() -> None:
    """A request to end a call is one row each time it was made, and one row however often it is read."""
    aborts = [ResponseAborted(call="c", lane="original", reason=reason) for reason in ("watchdog", "client")]
    rows = fold([one(EDGE, *aborts), one(EDGE, *aborts)])
    assert len(rows.events) == 2


def test_flow_control_is_not_recorded() -> None:
    """`chunk.seen` says nothing about a call."""
    assert fold([one(STAGE, ChunkSeen(call="c", upto=9))]) == Rows()


def test_what_jsonb_cannot_hold_is_exact_in_raw() -> None:
    """NUL characters are replaced in the JSON form only; a written backslash is none."""
    effect = EffectRecorded(call="c", key="k", kind="judge", value=["a\0b", "\\u0000"])
    [row] = fold([one(STAGE, effect)]).events
    assert decode_event(row.raw) == effect
    assert "\\u0000" not in row.payload.replace("\\\\u0000", "")
    assert msgspec.json.decode(row.payload)["value"] == ["a\N{REPLACEMENT CHARACTER}b", "\\u0000"]


def test_unknown_types_are_recorded() -> None:
    """An event of a later release keeps all its fields."""
    fields = {"type": "call.forked", "call": "c", "n": 3, "time": 5, "into": [b"\xff", 2]}
    [row] = fold([one(STAGE, Unknown(fields))]).events
    assert (row.type, row.n, row.time) == ("call.forked", 3, 5)
    assert decode_event(row.raw) == Unknown(fields)


def test_an_unknown_event_with_a_broken_envelope_is_refused() -> None:
    """It is an error of its own type, so that it can be set aside."""
    with pytest.raises(PackError, match="wrong envelope"):
        fold([one(STAGE, Unknown({"type": "odd", "call": "c", "n": "many"}))])


def test_a_second_terminal_event_does_not_count() -> None:
    """The first of the log ends the lane."""
    ends = [ResponseCompleted(call="c", n=n, lane="final", reason=reason) for n, reason in ((1, "late"), (0, "true"))]
    found = record([fold([one(STAGE, ends[0], id="2-0"), one(STAGE, ends[1])])], "c")
    assert final_lane(found).end == ends[1]


def test_a_released_frame_whose_source_is_lost_is_missing() -> None:
    """A reference to a chunk that is not stored leaves a hole, never wrong bytes."""
    events: list[AnyEvent] = [ChunkReleased(call="c", n=0, frame=b"x", of=5)]
    events.append(ResponseCompleted(call="c", n=1, lane="final"))
    lane = final_lane(record([fold([one(STAGE, *events)])], "c"))
    assert (lane.raw, lane.complete, lane.missing) == (b"", False, 1)
