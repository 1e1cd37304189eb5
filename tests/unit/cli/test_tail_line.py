"""One line of `tail`, and the small readable forms."""

from __future__ import annotations

import pytest

from luthien_stream.cli.plain import preview, printable, size, span
from luthien_stream.cli.tail_line import Line
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    ChunkSeen,
    RequestReceived,
    ResponseFailed,
    Slip,
    Unknown,
    VerdictReached,
)
from luthien_stream.record.filter import parse
from luthien_stream.record.speech import speech
from luthien_stream.tail.reading import Seen
from luthien_stream.tail.since import NoTime, parse_since
from luthien_stream.tail.wanted import Selection, Wanted

CALL = "0192f3a4-7c1e-7abc-8000-000000000001"
DELTA = (
    b'data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hi\\u001b[2J"}}]}\n\n'
)


def seen(event: AnyEvent, src: str = "edge:e1") -> Seen:
    """An event as the log gives it."""
    return Seen(1_790_000_000_000_000, "s", "1790000000000-0", src, event)


def request(model: str = "gpt-x", session: str = "s1") -> Seen:
    """A call's first event."""
    event = RequestReceived(
        call=CALL, n=0, edge="e1", slip=Slip(), format="openai_chat", path="/v1/chat/completions",
        body=b"{}", model=model, session=session,
    )  # fmt: skip
    return seen(event)


def lines(wanted: Wanted, *events: Seen, colour: bool = False) -> list[str]:
    """What is printed."""
    line, selection = Line(colour=colour), Selection(wanted)
    known = [(one, selection.learn(one.event)) for one in events]
    return [line.text(one, facts) for one, facts in known if selection.takes(one.event, facts)]


def test_a_chunk_is_shown_by_what_it_says() -> None:
    """The text of the frame, without what a terminal would obey; a changed chunk is marked."""
    chunk, changed = ChunkReceived(call=CALL, n=2, frame=DELTA), ChunkReleased(call=CALL, n=2, frame=DELTA)
    _, received, released = lines(Wanted(), request(), seen(chunk), seen(changed, "stage:main@1"))
    assert received.endswith('chunk.received      gpt-x             "Hi\\x1b[2J"')
    assert released.endswith('≠ "Hi\\x1b[2J"')
    assert CALL[:18] in received


def test_a_chunk_that_cannot_be_read_is_shown_by_its_size() -> None:
    """Without the call's beginning there is no format, and garbage says nothing."""
    assert lines(Wanted(), seen(ChunkReceived(call=CALL, frame=b"x" * 1500)))[0].endswith("1.5 kB")
    assert lines(Wanted(), request(), seen(ChunkReceived(call=CALL, frame=b"data: {\n\n")))[1].endswith("9 B")


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        (Wanted(), 2),
        (Wanted(call=CALL[:9]), 2),
        (Wanted(call="ffff"), 0),
        (Wanted(session="s1"), 2),
        (Wanted(session="s2"), 0),
        (Wanted(model="gpt-*"), 2),
        (Wanted(model="claude-*"), 0),
        (Wanted(types=("verdict.*",)), 1),
        (Wanted(types=("chunk.seen", "request.*")), 2),
    ],
)
def test_filters(wanted: Wanted, shown: int) -> None:
    """By call, session, model and type; flow control only if it is asked for."""
    verdict = VerdictReached(call=CALL, n=3, policy="p", kind="deny", reason="because")
    assert len(lines(wanted, request(), seen(verdict), seen(ChunkSeen(call=CALL, upto=3)))) == shown


def test_a_filter_by_model_hides_calls_whose_beginning_was_not_seen() -> None:
    """Nobody knows their model."""
    assert lines(Wanted(model="gpt-*"), seen(ResponseFailed(call=CALL, lane="final", error="x"))) == []


def test_events_without_words_of_their_own_show_their_fields() -> None:
    """Also those of later releases."""
    unknown = Unknown({"type": "call.forked", "call": CALL, "into": 3})
    assert lines(Wanted(), seen(unknown))[0].endswith('{"into":3}')


def test_colours_are_for_terminals() -> None:
    """A failure is red there, and plain in a file."""
    failed = seen(ResponseFailed(call=CALL, lane="final", error="policy_failed"))
    assert "\x1b[31mresponse.failed" in lines(Wanted(), failed, colour=True)[0]
    assert "\x1b" not in lines(Wanted(), failed)[0]


def test_speech_of_a_lane_tells_where_it_could_not_be_read() -> None:
    """What was said before is kept."""
    said = speech("openai_chat", [("frame", DELTA), ("frame", b"data: {\n\n")])
    assert said.text == "Hi\x1b[2J"
    assert said.note
    assert "unknown format" in speech("smoke_signals", [("frame", b"x")]).note


def test_times_are_ages_or_dates() -> None:
    """An age counts back from now."""
    assert parse_since("10m", now=1000.0) == 400_000_000
    assert parse_since("1d", now=1000.0) == 0
    assert parse_since("2026-01-31T12:00:00+00:00") == 1_769_860_800_000_000
    with pytest.raises(NoTime, match="2026-01-31"):
        parse_since("last tuesday")


def test_small_forms() -> None:
    """Sizes, durations and text for people."""
    assert [size(n) for n in (999, 1500, 2_500_000)] == ["999 B", "1.5 kB", "2.5 MB"]
    assert [span(us) for us in (None, 400, 250_000, 2_500_000)] == ["", "0.4 ms", "250 ms", "2.5 s"]
    assert printable("a\x1b]0;b\x07\n\u202ec") == "a\\x1b]0;b\\x07⏎\\u202ec"
    assert printable("a\nb", lines=True) == "a\nb"
    assert preview("x" * 100, 10) == "x" * 9 + "…"


def test_a_filter_waits_for_what_it_asks_for() -> None:
    """A verdict is known once it is there; what is never seen does not fit."""
    verdict = VerdictReached(call=CALL, n=3, policy="guard", kind="deny")
    failed = ResponseFailed(call=CALL, n=4, lane="final", error="policy_failed")
    events = (request(), seen(verdict, "stage:main@1"), seen(failed, "stage:main@1"))
    assert shown("~m gpt-* ~s s1", *events) == 3
    assert shown("~v deny", *events) == 2
    assert shown("!~v deny", *events) == 0
    assert shown("~o failed ~e policy_*", *events) == 1
    assert shown("~t verdict.* | ~m claude-*", *events) == 1
    assert shown("~m gpt-*", *events[1:]) == 0


def shown(filter: str, *events: Seen) -> int:
    """How many events are shown, each judged when it comes."""
    selection = Selection(Wanted(filter=parse(filter)))
    return sum(selection.takes(one.event, selection.learn(one.event)) is True for one in events)


def test_a_call_whose_beginning_was_not_seen_is_undecided_once() -> None:
    """A filter that needs it cannot tell, and says so; one that does not need it can."""
    failed = ResponseFailed(call=CALL, n=4, lane="final", error="policy_failed")
    selection = Selection(Wanted(filter=parse("~m gpt-*")))
    assert [selection.takes(failed, selection.learn(failed)) for _ in range(3)] == [None, False, False]
    other = Selection(Wanted(call="ffff", filter=parse("~m gpt-*")))
    assert other.takes(failed, other.learn(failed)) is False
