"""Both lanes of a call, as `tail --follow` shows them."""

from __future__ import annotations

import pytest

from luthien_stream.cli.follow_lanes import Lanes, Said, Transcript
from luthien_stream.events import log
from luthien_stream.events.slip import Slip
from luthien_stream.tail.facts import Knowledge
from luthien_stream.tail.reading import Seen

CALL, STAGE = "0192f3a4-7c1e-7abc-8000-000000000001", "stage:main@1"


def frame(text: str) -> bytes:
    """A chat frame that says this."""
    return b'data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (
        text.encode()
    )


def request(final_by: str = STAGE) -> log.RequestReceived:
    """A call's first event."""
    return log.RequestReceived(
        call=CALL, n=0, edge="e1", slip=Slip(final_by=final_by), format="openai_chat", path="/v1", body=b"", model="m"
    )


def heard(*events: tuple[str, log.AnyEvent]) -> tuple[Lanes, list[Said]]:
    """What is said when these come, by their sources."""
    lanes, knowledge = Lanes(), Knowledge()
    seen = [Seen(1, "s", f"{n}-0", src, event) for n, (src, event) in enumerate(events)]
    return lanes, [said for each in seen for said in lanes.hear(each, knowledge.learn(each.event))]


def test_both_lanes_grow_apart() -> None:
    """What the model said, what was delivered, and in between who decided."""
    lanes, said = heard(
        ("edge:e", request()),
        ("edge:e", log.ChunkReceived(call=CALL, n=1, frame=frame("hi"))),
        (STAGE, log.VerdictReached(call=CALL, n=2, policy="caps", kind="rewrite", reason="loud")),
        (STAGE, log.ChunkReleased(call=CALL, n=2, frame=frame("HI"))),
        ("stage:shadow@2", log.ChunkReleased(call=CALL, n=2, frame=frame("no"))),
        ("edge:e", log.ResponseCompleted(call=CALL, n=2, lane="original", reason="stop")),
        (STAGE, log.ResponseCompleted(call=CALL, n=3, lane="final", reason="stop")),
        ("edge:e", log.ResponseCompleted(call=CALL, n=3, lane="final", reason="stop")),
        ("edge:e", log.ResponseDelivered(call=CALL, last=3, bytes=9)),
    )
    assert [(each.side, each.text) for each in said] == [
        ("call", "m  /v1"),
        ("model", "hi"),
        ("call", "verdict  caps  rewrite  loud"),
        ("client", "HI"),
        ("model", "[ended  stop]"),
        ("client", "[ended  stop]"),
        ("call", "delivered  complete  9 B"),
    ]
    assert lanes.ended


def test_without_stages_both_lanes_are_one() -> None:
    """What arrives is what is delivered."""
    _, said = heard(("edge:e", request("edge")), ("edge:e", log.ChunkReceived(call=CALL, n=1, frame=frame("hi"))))
    assert [(each.side, each.text) for each in said[1:]] == [("model", "hi"), ("client", "hi")]


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([log.ChunkReceived(call=CALL, n=n, frame=frame("hi")) for n in range(3)], "began before what the log keeps"),
        (
            [request(), *(log.ChunkReceived(call=CALL, n=n, frame=b"data: {\n\n") for n in (1, 2))],
            "not readable here: ",
        ),
    ],
)
def test_a_lane_that_cannot_be_read_says_so_once(events: list[log.AnyEvent], why: str) -> None:
    """And why."""
    _, said = heard(*(("edge:e", event) for event in events))
    notes = [each.text for each in said if "not readable here" in each.text]
    assert len(notes) == 1
    assert why in notes[0]


def test_a_transcript_shows_its_newest_lines_within_its_width() -> None:
    """Text goes on in its paragraph; what a terminal would obey is spelled out."""
    transcript = Transcript()
    for said in [Said("model", "one "), Said("model", "two", open=True), Said("model", "three\n\x1b[2J", open=True)]:
        transcript.add(said)
    assert transcript.lines(20, 10) == ["one ", "twothree", "\\x1b[2J"]
    assert transcript.lines(4, 3) == ["hree", "\\x1b", "[2J"]
