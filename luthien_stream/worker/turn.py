"""What one turn of an owner writes: effects, outputs by destination, calls opened and closed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from luthien_stream.bus.port import Open, Settlement
from luthien_stream.core.program import Folded
from luthien_stream.events import pack
from luthien_stream.events.log import (
    AnyEvent,
    PolicyFailed,
    ResponseAborted,
    ResponseCompleted,
    ResponseFailed,
    SampleRequested,
    VerdictReached,
)

MAX_EVENTS = 64
MAX_BYTES = 32 * 1024

_BESIDE = frozenset({VerdictReached, PolicyFailed, SampleRequested, ResponseCompleted, ResponseFailed, ResponseAborted})


class Turn:
    """Gathered by the partition, made to a settlement by the owner."""

    __slots__ = ("bodies", "closed", "effects", "folds", "open", "outputs")

    def __init__(self) -> None:
        self.effects: list[AnyEvent] = []
        self.outputs: dict[str, list[AnyEvent]] = {}
        self.open: dict[str, Open] = {}
        self.closed: list[str] = []
        self.folds: list[Folded] = []
        """What the closed calls add to their sessions."""
        self.bodies: list[tuple[str, bytes]] = []
        """(SHA-256 in hex, body), to be stored before the settlement is sent."""

    def __bool__(self) -> bool:
        return bool(self.effects or self.outputs or self.open or self.closed)

    def put(self, stream: str, events: Sequence[AnyEvent]) -> None:
        """Add outputs for one destination, in order."""
        if not events:
            return
        waiting = self.outputs.get(stream)
        if waiting is None:
            self.outputs[stream] = list(events)
        else:
            waiting += events

    def settlement(self, src: str, owner: str, number: int, cursor: str) -> Settlement:
        """Return the turn as the bus takes it."""
        return Settlement(
            owner=owner,
            turn=number,
            cursor=cursor,
            effects=pack.encode(src, self.effects) if self.effects else b"",
            outputs=[(to, raw) for to, events in self.outputs.items() for raw in packs(src, events)],
            open=self.open,
            folds=self.folds,
            closed=self.closed,
        )


def packs(src: str, events: Iterable[AnyEvent]) -> Iterator[bytes]:
    """Split events into entries of at most `MAX_EVENTS`, and of `MAX_BYTES` unless one event is larger."""
    batch: list[AnyEvent] = []
    size = 0
    for event in events:
        weight = len(getattr(event, "frame", b"")) + len(getattr(event, "body", b""))
        if batch and (len(batch) >= MAX_EVENTS or size + weight > MAX_BYTES):
            yield pack.encode(src, batch)
            batch, size = [], 0
        batch.append(event)
        size += weight
    if batch:
        yield pack.encode(src, batch)


def said_beside(events: Iterable[AnyEvent]) -> list[AnyEvent]:
    """What a stage that only watches lets out of its lane."""
    return [event for event in events if type(event) in _BESIDE]
