"""One call in one stage: what it releases is a function of its log, whoever runs it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthien_stream.core.call import TABLE, LaneError, State, step
from luthien_stream.core.digest import EMPTY, chain
from luthien_stream.core.program import Want
from luthien_stream.core.stagecall import MAX_BODY, Doom, StageCall
from luthien_stream.events.log import (
    AnyEvent,
    ApprovalDecided,
    ChunkReceived,
    ChunkReleased,
    EffectRecorded,
    RequestReleased,
    ResponseAborted,
    ResponseCompleted,
    ResponseFailed,
    ResponseStarted,
    SampleRequested,
    Unknown,
    VerdictReached,
)
from tests.unit.worker.toys import SRC, STAGE, Toy, answer, request

LETTERS = st.lists(st.sampled_from([b"a", b"2", b"0", b"h", b"J"]), max_size=6)


def live(log: list[AnyEvent], value: int = 7) -> StageCall:
    """Run a log as its first owner does: wants are decided as they come up."""
    call = StageCall("c", Toy())
    for event in log:
        call.feed(SRC, event, 0)
        while call.wants():
            call.decide(call.wants()[0], value, STAGE, 0)
    return call


def again(log: list[AnyEvent], call: StageCall, floor: int) -> StageCall:
    """Run it as the next owner does: effects come behind the entries, `floor` outputs were released."""
    digest = EMPTY
    for event in call.outputs[:floor]:
        digest = chain(digest, event)
    other = StageCall("c", Toy(), floor=floor, digest=digest)
    for event in [*log, *call.records]:
        other.feed(SRC, event, 1)
    other.end_if_short(1)
    return other


@given(LETTERS, st.data())
def test_a_takeover_at_any_point_releases_the_rest(letters: list[bytes], data: st.DataObject) -> None:
    """Released before and released after make one lane, each output once, chained by its digests."""
    log: list[AnyEvent] = [request("c"), *answer("c", letters)]
    first = live(log)
    floor = data.draw(st.integers(0, len(first.outputs) - 1))
    second = again(log, first, floor)
    lane = first.outputs[:floor] + second.outputs
    assert [(e.n, e.prev) for e in lane] == [(e.n, e.prev) for e in first.outputs]
    assert [getattr(e, "frame", b"") for e in lane] == [getattr(e, "frame", b"") for e in first.outputs]
    assert second.done
    assert second.released_digest == first.released_digest


@given(LETTERS, st.integers(1, 8))
def test_a_run_shorter_than_what_was_released_ends_where_that_ended(letters: list[bytes], floor: int) -> None:
    """The terminal event takes the next ordinal and the stored digest, so that the reader can place it."""
    call = StageCall("c", Toy(), floor=floor + 20, digest=4711)
    for event in [request("c"), *answer("c", letters)]:
        call.feed(SRC, event, 0)
    call.end_if_short(0)
    call.end("deadline", "too late", STAGE, 0)
    assert [(e.n, e.prev) for e in call.outputs] == [(floor + 20, 4711)]
    assert call.done


def test_another_run_than_what_was_released_fails_closed() -> None:
    """A digest that differs at the released ordinal ends the call as nondeterminism."""
    call = StageCall("c", Toy(), floor=2, digest=4711)
    for event in [request("c"), *answer("c", [b"a", b"b"])]:
        call.feed(SRC, event, 0)
    (last,) = call.outputs
    assert isinstance(last, ResponseFailed)
    assert (last.error, last.n, last.prev) == ("nondeterminism", 2, 4711)


def test_a_cut_goes_through_the_program_and_is_recorded() -> None:
    """The program closes what is open; the record says where the lane was cut."""
    call = live([request("c"), *answer("c", [b"a"], end=False)])
    call.cut(Doom("deadline", "too late"), STAGE, 5)
    assert isinstance(call.outputs[-1], ResponseFailed)
    assert call.done
    (record,) = call.records
    assert isinstance(record, EffectRecorded)
    assert (record.key, record.value["at"], record.value["reason"]) == ("cut", 3, "deadline")
    call.cut(Doom("again", ""), STAGE, 6)
    assert len(call.records) == 1


def test_the_first_result_of_an_effect_counts() -> None:
    """A second result, recorded or not, changes nothing."""
    call = StageCall("c", Toy())
    for event in [request("c"), *answer("c", [b"J"], end=False)]:
        call.feed(SRC, event, 0)
    (want,) = call.wants()
    call.decide(want, 1, STAGE, 0)
    call.decide(want, 2, STAGE, 0)
    call.feed(STAGE, EffectRecorded(call="c", key=want.key, kind="judge", value=3), 0)
    assert [e.frame for e in call.outputs if isinstance(e, ChunkReleased)] == [b"J|1"]
    assert len(call.records) == 1


def test_a_person_s_answer_is_a_candidate() -> None:
    """It is there for the owner to adopt, and does nothing by itself."""
    call = StageCall("c", Toy())
    for event in [request("c"), *answer("c", [b"A"], end=False)]:
        call.feed(SRC, event, 0)
    (want,) = call.wants()
    assert call.answer(want) is None
    assert call.feed("console:1", ApprovalDecided(call="c", key=want.key, decision="allow", by="me"), 0)
    assert call.answer(want) == {"decision": "allow", "by": "me", "args": None}
    assert call.feed(SRC, ResponseAborted(call="c", lane="original", reason="gone"), 0)
    assert call.doom is not None
    assert call.doom.reason == "gone"


def test_a_large_body_leaves_the_log() -> None:
    """A released request with a large body names it; the body waits to be stored."""

    class Grower(Toy):
        def advance(self) -> list[AnyEvent]:
            return [RequestReleased(call="c", changed=True, body=b"x" * (MAX_BODY + 1))]

    call = StageCall("c", Grower())
    call.feed(SRC, request("c"), 0)
    (event,) = call.outputs
    assert isinstance(event, RequestReleased)
    assert event.body == b""
    assert event.body_size == MAX_BODY + 1
    assert call.bodies == [(event.body_ref, b"x" * (MAX_BODY + 1))]


def test_a_lane_has_one_terminal_event_and_an_order() -> None:
    """The table allows what the picture in its module says, and nothing after the end."""
    state = State.OPENED
    lane: list[AnyEvent] = [
        VerdictReached(call="c", policy="p", kind="allow"),
        RequestReleased(call="c"),
        ResponseStarted(call="c", status=200),
        ChunkReleased(call="c", frame=b"x"),
        Unknown({"type": "new", "call": "c"}),
        ResponseCompleted(call="c", lane="final"),
    ]
    for event in lane:
        state = step(state, event)
    assert state is State.ENDED
    assert TABLE[State.ENDED] == {}
    with pytest.raises(LaneError):
        step(State.OPENED, ChunkReleased(call="c", frame=b"x"))


def test_a_digest_sees_content_and_nothing_else() -> None:
    """Ordinals, times and where a copy was read do not change it; every field of the content does."""
    one = VerdictReached(call="c", n=1, time=5, prev=9, cause="x", trace="t", policy="p", kind="deny", reason="r")
    same = VerdictReached(call="d", n=2, policy="p", kind="deny", reason="r")
    other = VerdictReached(call="c", policy="p", kind="deny", reason="R")
    assert chain(EMPTY, one) == chain(EMPTY, same) != chain(EMPTY, other)
    fields = {"type": "verdict.reached", "policy": "p", "kind": "deny", "reason": "r", "n": 4}
    assert chain(EMPTY, Unknown(fields)) == chain(EMPTY, one)


class Sampler(Toy):
    """Asks for an answer with each `S`, and puts out what comes of it, frame by frame."""

    def feed(self, event: AnyEvent, source: str = "") -> None:
        if source:
            kind = type(event).__name__
            frame = getattr(event, "frame", kind.encode())
            self._outputs.append(ChunkReleased(call="c", frame=source.encode() + b":" + frame))
        else:
            super().feed(event)
            if getattr(event, "frame", b"") == b"S":
                self._outputs.append(SampleRequested(call="c", key="k", model="m", body=b"x" * (MAX_BODY + 1)))

    def decide(self, key: str, value: Any, of: str = "", time: int = 0) -> None:
        self._outputs.append(ChunkReleased(call="c", frame=repr(value).encode()))


WANT = Want("k", "sample", {"model": "m"}, 5.0)


def sampled() -> StageCall:
    call = StageCall("c", Sampler())
    for event in [request("c"), *answer("c", [b"S"], end=False)]:
        call.feed(SRC, event, 0)
    return call


def drawn(n: int) -> ChunkReceived:
    return ChunkReceived(call="c", n=n, frame=b"%d" % n)


def test_an_answer_that_was_asked_for_is_a_source_of_its_own() -> None:
    """Its inputs count from 0, are taken once and in order; those of a key that nobody asked for are not."""
    call = sampled()
    before = len(call.outputs)
    assert [call.bodies[0][0], call.outputs[-2].body] == [call.outputs[-2].body_ref, b""]  # type: ignore[union-attr]
    taken = [
        call.feed(src, drawn(n), 0) for src, n in [("sample:k", 0), ("sample:k", 2), ("sample:k", 0), ("sample:x", 0)]
    ]
    assert taken == [True, False, False, False]
    assert call.feed("sample:k", drawn(1), 0)
    assert [e.frame for e in call.outputs[before:]] == [b"sample:k:0", b"sample:k:1"]  # type: ignore[union-attr]
    assert call.intake.count == 3


def test_a_late_answer_is_cut_where_the_record_lies() -> None:
    """What was read before the record counts, in every run; what comes behind it does not."""
    call = sampled()
    before = len(call.outputs)
    call.feed("sample:k", drawn(0), 0)
    call.decide(WANT, {"error": "timeout"}, STAGE, 5)
    (record,) = call.records
    assert isinstance(record, EffectRecorded)
    assert record.value == {"error": "timeout", "after": 1}
    call.decide(WANT, {"error": "timeout"}, STAGE, 6)
    assert len(call.records) == 1
    log: list[tuple[str, AnyEvent]] = [("sample:k", drawn(1)), (f"stage:{STAGE}", record), ("sample:k", drawn(2))]
    assert [call.feed(src, event, 7) for src, event in log] == [True, True, False]
    said = [e.frame for e in call.outputs[before:]]  # type: ignore[union-attr]
    assert said == [b"sample:k:0", b"sample:k:1", repr(record.value).encode()]
    other = sampled()
    for src, event in [("sample:k", drawn(0)), *log]:
        other.feed(src, event, 9)
    assert [e.frame for e in other.outputs[before:]] == said  # type: ignore[union-attr]


def test_a_record_that_comes_first_waits_for_what_it_says_was_taken() -> None:
    """A server that has forgotten is told again by edge and worker, each at its own time."""
    call = sampled()
    before = len(call.outputs)
    record = EffectRecorded(call="c", key="k", kind="sample", value={"error": "timeout", "after": 2})
    log: list[tuple[str, AnyEvent]] = [(f"stage:{STAGE}", record), *(("sample:k", drawn(n)) for n in range(3))]
    assert [call.feed(src, event, 7) for src, event in log] == [True, True, True, False]
    said = [e.frame for e in call.outputs[before:]]  # type: ignore[union-attr]
    assert said == [b"sample:k:0", b"sample:k:1", repr(record.value).encode()]


def test_an_answer_that_is_whole_is_not_late() -> None:
    """Its own end came first."""
    call = sampled()
    call.feed("sample:k", ResponseCompleted(call="c", n=0, lane="original"), 0)
    call.decide(WANT, {"error": "timeout"}, STAGE, 5)
    assert call.records == []
