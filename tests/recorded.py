"""Made-up calls as the log holds them: the events of both lanes, in packs, and the bytes that the record must give."""

from __future__ import annotations

from msgspec import Struct

from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    EffectRecorded,
    FrameInjected,
    Hop,
    PolicyRan,
    RequestReceived,
    RequestReleased,
    ResponseCompleted,
    ResponseDelivered,
    ResponseStarted,
    Slip,
    VerdictReached,
)
from luthien_stream.events.pack import encode

STAGE = "stage:main@ab12cd34"
EDGE = "edge:e1"
RECORD = "record:e1"
START = 1_790_000_000_000_000
"""Microseconds: when the calls begin."""


class MadeCall(Struct):
    """One call: packs in the order of the log, as (source, events), and both lanes."""

    call_id: str
    packs: list[tuple[str, list[AnyEvent]]]
    original: bytes
    final: bytes

    def encoded(self) -> list[bytes]:
        """The bytes of its stream entries."""
        return [encode(src, events) for src, events in self.packs]


def made_call(number: int, *, chunks: int = 6, model: str = "demo/echo", session: str = "s1") -> MadeCall:
    """Return a policed call: each third frame is rewritten, a keep-alive stands before the second frame."""
    call = call_id(number)
    frames = [f"data: {number}/{i} \N{SNOWMAN}\n\n".encode() for i in range(chunks)]
    written = [frame.upper() if i % 3 == 2 else frame for i, frame in enumerate(frames)]
    slip = Slip("ab12cd34", (Hop("main@ab12cd34", 0),), STAGE)
    request = RequestReceived(
        call=call, n=0, time=START, edge="e1", slip=slip, format="openai_chat", path="/v1/chat/completions",
        body=b'{"n":%d}' % number, model=model, session=session, streamed=True,
    )  # fmt: skip
    packs: list[tuple[str, list[AnyEvent]]] = [(EDGE, [request]), (STAGE, [RequestReleased(call=call, n=0)])]
    packs.append((EDGE, [ResponseStarted(call=call, n=1, time=START + 1_000, status=200, provider="demo")]))
    packs.append((STAGE, [ResponseStarted(call=call, n=1, time=START + 1_500, status=200, provider="demo")]))
    for i, frame in enumerate(frames):
        packs += _chunk(call, i, frame, written[i])
    end = chunks + 2
    packs.append((EDGE, [ResponseCompleted(call=call, n=end, time=START + 900_000, lane="original")]))
    verdict = VerdictReached(call=call, n=end, time=START + 901_000, policy="all_caps", kind="rewrite")
    done = ResponseCompleted(call=call, n=end + 1, time=START + 902_000, lane="final", usage={"output_tokens": chunks})
    packs.append((STAGE, [EffectRecorded(call=call, key="0:r:0", kind="judge", value="x\0y"), verdict, done]))
    ping = FrameInjected(call=call, n=0, time=START + 2_000, frame=b": ping\n\n", why="keepalive", after=3)
    size = sum(map(len, written)) + len(ping.frame)
    left = ResponseDelivered(call=call, n=1, time=START + 903_000, last=end + 1, bytes=size)
    packs.append((RECORD, [ping, left]))
    final = b"".join([*written[:1], ping.frame, *written[1:]])
    return MadeCall(call, packs, b"".join(frames), final)


def relayed_call(number: int, *, chunks: int = 4, cut_after: int | None = None) -> MadeCall:
    """Return a call that no policy sees; `cut_after`: the client left after so many frames."""
    call = call_id(number)
    frames = [f"data: relayed {number}/{i}\n\n".encode() for i in range(chunks)]
    request = RequestReceived(
        call=call, n=0, time=START, edge="e1", slip=Slip(), format="openai_chat", path="/v1/chat/completions"
    )
    received = [ChunkReceived(call=call, n=i + 2, time=START + i, frame=frame) for i, frame in enumerate(frames)]
    end = ResponseCompleted(call=call, n=chunks + 2, time=START + 9, lane="original")
    last = chunks + 1 if cut_after is None else cut_after + 1
    left = ResponseDelivered(
        call=call, n=0, time=START + 10, last=last, bytes=0, left="complete" if cut_after is None else "disconnected"
    )
    over = ResponseCompleted(call=call, n=1, time=START + 10, lane="final")
    packs: list[tuple[str, list[AnyEvent]]] = [
        (EDGE, [request, ResponseStarted(call=call, n=1, time=START, status=200), *received, end]),
        (RECORD, [left, over]),
    ]
    return MadeCall(call, packs, b"".join(frames), b"".join(frames[:cut_after]))


def staged_call(number: int) -> MadeCall:
    """Return a call of two stages, each of which says something, and a third that only watches and says otherwise."""
    call = call_id(number)
    names = ("one@11111111", "two@22222222", "shadow@33333333")
    one, two, shadow = (f"stage:{name}" for name in names)
    slip = Slip("v", tuple(Hop(name, 0) for name in names[:2]), two)
    asked = RequestReceived(
        call=call, n=0, time=START, edge="e1", slip=slip, format="openai_chat", path="/", body=b"{}"
    )
    handed = RequestReceived(call=call, n=0, time=START - 9, edge="e1", slip=slip, format="openai_chat", path="/wrong")
    frame = b"data: staged\n\n"
    received = ChunkReceived(call=call, n=1, time=START + 10, frame=frame)
    over = ResponseCompleted(call=call, n=2, time=START + 20, lane="original")

    def lane(policies: tuple[PolicyRan, ...], reason: str, first: list[AnyEvent]) -> list[AnyEvent]:
        verdicts: list[AnyEvent] = [VerdictReached(call=call, policy=ran.name, kind="allow") for ran in policies]
        done = ResponseCompleted(call=call, lane="final", reason=reason, policies=policies)
        events: list[AnyEvent] = [*first, *verdicts, ChunkReleased(call=call, frame=frame, of=1, time=START + 15), done]
        for n, event in enumerate(events):
            event.n = n  # type: ignore[misc]
        return events

    ran = PolicyRan("a", "a1", "allow", 1500), PolicyRan("b", "b1", "deny")
    watched = (PolicyRan("w", "w1", "stop", shadow=True),)
    left = ResponseDelivered(call=call, n=0, time=START + 30, last=4, bytes=len(frame))
    packs: list[tuple[str, list[AnyEvent]]] = [
        (EDGE, [asked, received, over]),
        (shadow, lane(watched, "watched", [])),
        (one, lane(ran[:1], "first", [handed])),
        (two, lane(ran, "second", [])),
        (RECORD, [left]),
        ("shadow:e1", [asked, received, over]),
    ]
    return MadeCall(call, packs, frame, frame)


def call_id(number: int) -> str:
    """A version 7 UUID."""
    return f"0192f3a4-0000-7000-8000-{number:012x}"


def _chunk(call: str, i: int, frame: bytes, written: bytes) -> list[tuple[str, list[AnyEvent]]]:
    received = ChunkReceived(call=call, n=i + 2, time=START + 10_000 * (i + 1), frame=frame)
    released = ChunkReleased(
        call=call, n=i + 2, time=received.time + 400, frame=written, of=i + 2 if written == frame else -1
    )
    return [(EDGE, [received]), (STAGE, [released])]
