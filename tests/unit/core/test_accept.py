"""The rules by which events of a call are accepted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from luthien_stream.core.accept import PUBLISH_DEADLINE_MS, Intake, made_ms, opens
from luthien_stream.core.digest import EMPTY, chain
from luthien_stream.events.log import (
    AnyEvent,
    ApprovalDecided,
    ChunkReceived,
    ChunkReleased,
    ChunkSeen,
    EffectRecorded,
    RequestReceived,
    ResponseAborted,
    ResponseCompleted,
    Slip,
)

UUID7 = "01890a5d-ac96-774b-bcce-b302099a8057"


def lane(length: int) -> list[AnyEvent]:
    """An edge's lane: `length` chunks and a terminal event."""
    chunks: list[AnyEvent] = [ChunkReceived(call="c", n=i, frame=b"%d" % i) for i in range(length)]
    return [*chunks, ResponseCompleted(call="c", n=length, lane="original")]


def released(frames: list[bytes]) -> list[AnyEvent]:
    """A stage's lane, each event with the digest of the lane before it."""
    events: list[AnyEvent] = []
    digest = EMPTY
    for n, frame in enumerate(frames):
        event = ChunkReleased(call="c", n=n, prev=digest, frame=frame)
        digest = chain(digest, event)
        events.append(event)
    return events


@given(st.integers(0, 6), st.data())
def test_any_schedule_with_repeats_gives_the_lane_once(length: int, data: st.DataObject) -> None:
    """Whatever is repeated, late or early, the lane is taken once and in order."""
    events = lane(length)
    noise = data.draw(st.lists(st.sampled_from(events), max_size=20))
    intake = Intake()
    taken = [e for e in [events[0], *noise, *events] if intake.accept("edge:a", e) == "taken"]
    assert taken == events
    assert intake.over
    assert intake.count == length + 1


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=6), st.lists(st.binary(max_size=4), min_size=1, max_size=6))
def test_two_runs_are_never_spliced(one: list[bytes], other: list[bytes]) -> None:
    """Events of another run are taken only while both runs are the same lane."""
    intake = Intake("stage:main")
    half = released(one)[: len(one) // 2]
    assert [intake.accept("stage:main", e) for e in half] == ["taken"] * len(half)
    for event in released(other)[len(half) :]:
        outcome = intake.accept("stage:main", event)
        assert outcome in ("taken", "splice")
        if b"".join(one[: len(half)]) != b"".join(other[: len(half)]):
            assert outcome == "splice"
            break


def test_the_first_source_is_the_only_one() -> None:
    """An ordinal of another source is not taken for the lane's."""
    intake = Intake()
    first, second, *_ = lane(3)
    assert intake.accept("edge:a", second) == "foreign"
    assert intake.accept("edge:a", first) == "taken"
    assert intake.accept("edge:b", second) == "foreign"
    assert intake.accept("edge:a", second) == "taken"


def test_after_the_terminal_event_nothing_is_taken() -> None:
    """The first terminal event ends the lane."""
    intake = Intake()
    for event in lane(1):
        intake.accept("edge:a", event)
    assert intake.accept("edge:a", ChunkReceived(call="c", n=2, frame=b"x")) == "late"


def test_the_first_effect_and_the_first_candidate_count() -> None:
    """Effects and candidates are idempotent by key, whoever sends them."""
    intake = Intake("edge:a")
    assert intake.accept("stage:s", EffectRecorded(call="c", key="0", kind="judge", value=1)) == "effect"
    assert intake.accept("stage:s", EffectRecorded(call="c", key="0", kind="judge", value=2)) == "repeat"
    assert intake.effects == {"0": 1}
    assert intake.accept("console:x", ApprovalDecided(call="c", key="1", decision="allow")) == "candidate"
    assert intake.accept("console:y", ApprovalDecided(call="c", key="1", decision="deny")) == "repeat"
    assert intake.accept("edge:b", ResponseAborted(call="c", lane="original", reason="gone")) == "candidate"
    assert intake.accept("edge:b", ChunkSeen(call="c", upto=3)) == "note"
    assert set(intake.candidates) == {("1", ""), ("cut", "")}


def test_a_late_copy_of_a_request_opens_nothing() -> None:
    """A request that enters the log past the publish deadline is a copy of one that ended long ago."""
    request = RequestReceived(call=UUID7, n=0, edge="a", slip=Slip(), format="openai_chat", path="/")
    made = made_ms(UUID7)
    assert made is not None
    assert opens(request, made + PUBLISH_DEADLINE_MS)
    assert not opens(request, made + PUBLISH_DEADLINE_MS + 1)
    assert not opens(ChunkReceived(call=UUID7, n=0, frame=b""), made)
    request.call = "no-uuid"
    assert opens(request, 10**15)
