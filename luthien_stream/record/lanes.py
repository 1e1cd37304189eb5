"""Both lanes of a recorded call, put together again. Pure: stored events and chunks in, bytes and timings out.

The original lane is what the edge published. The final lane is what a stage released, or, where none did, the original
as far as it was delivered; frames that the edge made itself stand where it wrote them.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct, field

from luthien_stream.events.log import (
    AnyEvent,
    FrameInjected,
    Lane,
    RequestReceived,
    RequestRefused,
    ResponseDelivered,
    Terminal,
)
from luthien_stream.events.slip import watches

Kind = Literal["frame", "rest", "body"]
_E = TypeVar("_E")


class StoredEvent(Struct, frozen=True):
    """One event that is no chunk, and who wrote it."""

    src: str
    n: int
    entry: int
    event: AnyEvent


class StoredChunk(Struct, frozen=True):
    """One chunk. `origin` is None for a received one, -1 for one that a stage made, else where its bytes are."""

    n: int
    time: int
    kind: Kind
    frame: bytes
    origin: int | None = None
    entry: int = 0


class Record(Struct):
    """All that is stored of one call, each ordinal once, in order. What a file of recorded calls holds too."""

    call_id: str
    events: list[StoredEvent]
    chunks: dict[str, dict[int, StoredChunk]]
    """By source and ordinal."""
    bodies: dict[str, bytes] = field(default_factory=dict)
    """The requests that the events name, by SHA-256 (hex); what was gone before it could be stored is missing."""
    pipelines: dict[str, list[Any]] = field(default_factory=dict)
    """The pipelines that it passed, as they were written, by the key of the stage."""
    policies: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Name and version of the policies of each stage, in order, by the key of the stage."""
    label: str = ""
    """What a person said of it: `attack` or `benign`."""
    masked: bool = False
    """Secrets were taken out of it, and with them ordinals and digests: it is no proof of what policies did."""


class Piece(Struct, frozen=True):
    """One frame of a lane. `held` is the time from arrival to release, microseconds; None where nothing arrived."""

    n: int
    time: int
    frame: bytes
    by: Literal["provider", "policy", "edge"]
    kind: Kind = "frame"
    held: int | None = None


class LaneView(Struct):
    """One lane. `complete`: its terminal event is there and everything before it."""

    src: str = ""
    pieces: list[Piece] = field(default_factory=list)
    end: Terminal | None = None
    complete: bool = False
    missing: int = 0
    """Ordinals that are not stored, of those that must be."""

    @property
    def raw(self) -> bytes:
        """The bytes of the lane."""
        return b"".join(piece.frame for piece in self.pieces)


def original_lane(record: Record) -> LaneView:
    """What came from the provider."""
    src = _source(record, "original")
    chunks = record.chunks.get(src, {})
    pieces = [Piece(c.n, c.time, c.frame, "provider", c.kind) for _, c in sorted(chunks.items()) if c.origin is None]
    view = LaneView(src, pieces, _end(record, src, "original"))
    view.missing = _missing(record, src, view.end)
    refused = any(isinstance(stored.event, RequestRefused) for stored in record.events)
    view.complete = view.missing == 0 and (view.end is not None or refused)
    return view


def provider_lane(record: Record) -> LaneView:
    """What a provider of another format than the client's said itself; empty if it spoke the client's."""
    src = next((src for src in sorted(record.chunks) if src.startswith("provider:")), "")
    chunks = record.chunks.get(src, {})
    pieces = [Piece(c.n, c.time, c.frame, "provider", c.kind) for _, c in sorted(chunks.items())]
    missing = _missing(record, src, None)
    return LaneView(src, pieces, complete=missing == 0, missing=missing)


def final_lane(record: Record) -> LaneView:
    """What was sent to the client."""
    src = _source(record, "final")
    return _released_lane(record, src) if src.startswith("stage:") else _relayed_lane(record)


def stages_of(record: Record) -> list[str]:
    """The keys of all stages that the call passed, and of those that watched it."""
    slips = [s.event.slip for s in record.events if isinstance(s.event, RequestReceived)]
    named = {hop.stage for slip in slips for hop in slip.hops}
    wrote = {s.src.removeprefix("stage:") for s in record.events if s.src.startswith("stage:")}
    return sorted(named | wrote)


def said_once(record: Record) -> list[StoredEvent]:
    """All events but those of stages whose word a later stage passed on."""
    speaker = _source(record, "final")
    return [s for s in record.events if s.src == speaker or watches(s.src) or not s.src.startswith("stage:")]


def _released_lane(record: Record, src: str) -> LaneView:
    received = record.chunks.get(_source(record, "original"), {})
    view = LaneView(src, end=_end(record, src, "final"))
    for _, chunk in sorted(record.chunks.get(src, {}).items()):
        if chunk.origin is None or chunk.origin < 0:
            view.pieces.append(Piece(chunk.n, chunk.time, chunk.frame, "policy", chunk.kind))
        elif (source := received.get(chunk.origin)) is not None:
            held = chunk.time - source.time
            view.pieces.append(Piece(chunk.n, chunk.time, source.frame, "provider", chunk.kind, held))
        else:
            view.missing += 1
    view.missing += _missing(record, src, view.end)
    view.complete = view.end is not None and view.missing == 0
    return _as_delivered(record, view)


def _relayed_lane(record: Record) -> LaneView:
    original = original_lane(record)
    pieces = [msgspec.structs.replace(piece, held=0) for piece in original.pieces]
    view = LaneView(original.src, pieces, _end(record, "", "final"), original.complete, original.missing)
    view.complete = view.end is not None and original.complete
    return _as_delivered(record, view)


def _as_delivered(record: Record, view: LaneView) -> LaneView:
    """Cut where the client left, and put the edge's own frames where it wrote them."""
    for event in _of(record, ResponseDelivered):
        if event.left != "complete":
            view.pieces = [piece for piece in view.pieces if piece.n <= event.last]
    for injected in reversed(_of(record, FrameInjected)):
        at = next((i for i, piece in enumerate(view.pieces) if piece.n >= injected.after), len(view.pieces))
        view.pieces.insert(at, Piece(injected.after, injected.time, injected.frame, "edge"))
    return view


def _of(record: Record, kind: type[_E]) -> list[_E]:
    return [stored.event for stored in record.events if isinstance(stored.event, kind)]


def _source(record: Record, lane: Lane) -> str:
    """Who wrote the lane; empty where nobody did, or where the final lane is the original one."""
    if lane == "original":
        wrote = [s.src for s in record.events if isinstance(s.event, RequestReceived)] + sorted(record.chunks)
        return next((src for src in wrote if src.startswith("edge:")), "")
    ended = [s.src for s in record.events if isinstance(s.event, Terminal) and s.event.lane == "final" and s.n >= 0]
    stages = [src for src in ended + sorted(record.chunks) if src.startswith("stage:") and not watches(src)]
    slips = [s.event.slip for s in record.events if isinstance(s.event, RequestReceived) and not watches(s.src)]
    named = next((slip.speaker for slip in slips), next(iter(stages), ""))
    return named if named in stages else ""


def _end(record: Record, src: str, lane: Lane) -> Terminal | None:
    """The lane's terminal event: the first of the log, should there be more. `src` empty: whoever wrote it."""
    ends = [
        stored
        for stored in record.events
        if isinstance(stored.event, Terminal)
        and stored.event.lane == lane
        and (stored.src == src or not stored.src.startswith("stage:"))
        and stored.n >= 0
        and src in ("", stored.src)
    ]
    first = min(ends, key=lambda stored: stored.entry, default=None)
    return None if first is None else first.event  # type: ignore[return-value]


def _missing(record: Record, src: str, end: Terminal | None) -> int:
    """How many ordinals below the end, or below the last one known, are not stored."""
    known = {stored.n for stored in record.events if stored.src == src} | set(record.chunks.get(src, {}))
    upto = end.n if end is not None else max(known, default=-1)
    return sum(n not in known for n in range(upto))
