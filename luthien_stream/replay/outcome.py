"""What became of a call: read from events of its final lane, recorded or made again."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    PolicyFailed,
    RequestReceived,
    RequestReleased,
    ResponseAborted,
    ResponseFailed,
    Terminal,
    VerdictReached,
)
from luthien_stream.events.slip import watches
from luthien_stream.record.lanes import Record, original_lane
from luthien_stream.record.speech import Speech, speech
from luthien_stream.replay.feed import NotWhole, event_of, request_of, with_body
from luthien_stream.replay.holding import Holding
from luthien_stream.replay.result import GRAVITY, Comparison, Decision, Side, Verdict


def summary_of(record: Record, comparison: Comparison) -> None:
    """Fill in what the record says of the call itself. Raises `NotWhole`."""
    request = request_of(record)
    comparison.time, comparison.model, comparison.session = request.time, request.model, request.session
    comparison.label = record.label
    times = [stored.event.time for stored in record.events] + [
        c.time for s in record.chunks.values() for c in s.values()
    ]
    comparison.duration = max((time for time in times if time), default=request.time) - request.time
    comparison.chunks = sum(len(chunks) for src, chunks in record.chunks.items() if src.startswith("edge:"))


def recorded_side(record: Record) -> Side:
    """What became of the call as it is on record: what its last stage released, or the original lane without one.

    Raises `NotWhole`.
    """
    request = request_of(record)
    speaker = request.slip.speaker
    said = [s for s in record.events if s.src == speaker or watches(s.src) or not s.src.startswith("stage:")]
    events = [
        with_body(stored.event, record) for stored in sorted(said, key=lambda stored: (stored.src != speaker, stored.n))
    ]
    chunks = [event_of(record, chunk) for _, chunk in sorted(record.chunks.get(speaker, {}).items())]
    answered = any(isinstance(s.event, Terminal) and s.src == speaker and s.event.lane == "final" for s in said)
    released = any(isinstance(s.event, RequestReleased) and s.src == speaker for s in said)
    if not chunks and not answered:
        received = sorted(record.chunks.get(original_lane(record).src, {}).items()) if released or not speaker else []
        chunks = [
            ChunkReleased(call=record.call_id, n=n, time=c.time, frame=c.frame, kind=c.kind, of=n) for n, c in received
        ]
    arrived = {n: chunk.time for n, chunk in record.chunks.get(original_lane(record).src, {}).items()}
    times = [event.time for event in chunks]
    return side_of(request, [*events, *chunks], times, arrived, relayed=not answered)


def side_of(
    request: RequestReceived,
    outputs: Iterable[AnyEvent],
    times: Sequence[int],
    arrived: dict[int, int],
    *,
    relayed: bool = False,
) -> Side:
    """Make a side of what was put out; `times` are when its chunks left, `arrived` when the received ones came.

    `relayed`: no stage ends the lane; how it was delivered is what the edge says.
    """
    side = Side(request=request.body if relayed and not request.slip.hops else None)
    kinds: list[tuple[str, bytes]] = []
    holding, rewritten = Holding(arrived), False
    for event in outputs:
        if isinstance(event, ChunkReleased):
            side.held.append(holding.release(event.of, times[len(kinds)]))
            side.frames.append(event.frame)
            kinds.append((event.kind, event.frame))
            rewritten = rewritten or event.of not in arrived
        else:
            _take(side, event, request)
    side.said = speech(request.format, kinds) if kinds else Speech()
    side.verdict = _gravest(side, request, rewritten=rewritten)
    return side


def _take(side: Side, event: AnyEvent, request: RequestReceived) -> None:
    match event:
        case RequestReleased():
            side.request = event.body if event.changed else request.body
        case VerdictReached():
            side.decisions.append(
                Decision(
                    event.policy,
                    event.kind,
                    event.version,
                    event.phase,
                    event.reason,
                    event.shown,
                    event.score,
                    event.about,
                    event.shadow,
                )
            )
            if event.score is not None:
                side.score = event.score if side.score is None else max(side.score, event.score)
        case PolicyFailed():
            reason = event.message or event.error
            side.decisions.append(Decision(event.policy, "failed", phase=event.phase, reason=reason))
        case _ if isinstance(event, Terminal) and event.lane == "final" and not side.end:
            side.end = how(event)


def how(event: Terminal) -> str:
    """How a lane ended, in words."""
    if isinstance(event, ResponseFailed):
        return f"failed: {event.error}"
    if isinstance(event, ResponseAborted):
        return f"aborted: {event.reason}"
    return "completed"


def _gravest(side: Side, request: RequestReceived, *, rewritten: bool) -> Verdict:
    kinds: list[Verdict] = [decision.kind for decision in side.decisions if not decision.shadow]
    if rewritten or (side.request is not None and side.request != request.body):
        kinds.append("rewrite")
    if side.end.startswith("failed: policy"):
        kinds.append("failed")
    return max(kinds, key=GRAVITY.index, default="allow")


def original_inputs(record: Record, src: str) -> list[ChunkReceived]:
    """The received chunks, in order. Raises `NotWhole` where there is a hole."""
    chunks = sorted(record.chunks.get(src, {}).items())
    for (n, _), (m, _) in itertools.pairwise(chunks):
        if m != n + 1:
            raise NotWhole(f"The event {n + 1} of {src} is missing in the record of the call {record.call_id}")
    return [event_of(record, chunk) for _, chunk in chunks]  # type: ignore[misc]
