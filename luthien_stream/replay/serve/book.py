"""The recordings that are served: which of them answers a request."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Literal

from msgspec import Struct

from luthien_stream.errors import LuthienError
from luthien_stream.events.log import RequestReceived, ResponseStarted
from luthien_stream.record.lanes import Record, original_lane
from luthien_stream.replay.feed import request_of
from luthien_stream.replay.outcome import recorded_side
from luthien_stream.replay.serve.match import key_of, nearest, normalised

By = Literal["request", "order"]


class Miss(LuthienError):
    """No recording answers this request; the message says what came closest."""


class Answer(Struct):
    """One recorded answer. `pauses` are seconds before each frame, counted from the request or the frame before."""

    call_id: str
    format: str
    status: int
    streamed: bool
    content_type: str
    frames: list[bytes]
    pauses: list[float]
    asked: Any
    """The request, normalised."""
    broken: bool = False
    """The provider broke off."""
    served: int = 0


class Book:
    """All recordings. Not for several loops."""

    def __init__(self, records: Iterable[Record], by: By = "request", *, reuse: bool = False) -> None:
        self._by, self._reuse = by, reuse
        self.answers: list[Answer] = []
        self._waiting: dict[tuple[str, bytes], deque[Answer]] = defaultdict(deque)
        self._in_order: dict[str, deque[Answer]] = defaultdict(deque)
        for record in records:
            self._add(record)

    def find(self, format: str, body: bytes) -> Answer:
        """The answer to a request, each once unless they may be used again. Raises `Miss`."""
        asked = normalised(body)
        waiting = self._in_order[format] if self._by == "order" else self._waiting[format, key_of(asked)]
        if not waiting:
            raise Miss(self._missed(format, asked))
        found = waiting[0] if self._reuse and len(waiting) == 1 else waiting.popleft()
        found.served += 1
        return found

    @property
    def unserved(self) -> list[str]:
        """Calls that nobody asked for."""
        return [answer.call_id for answer in self.answers if not answer.served]

    def _add(self, record: Record) -> None:
        request = request_of(record)
        answer = _answer(record, request)
        self.answers.append(answer)
        self._in_order[request.format].append(answer)
        bodies = {request.body, recorded_side(record).request or request.body}
        for key in {key_of(normalised(body)) for body in bodies}:
            self._waiting[request.format, key].append(answer)

    def _missed(self, format: str, asked: Any) -> str:
        same = [answer for answer in self.answers if answer.format == format]
        if not same:
            return f"Nothing is recorded in the format {format}"
        if self._by == "order":
            return f"All {len(same)} recordings of this format have been served; --reuse serves the last again"
        near = nearest(asked, [answer.asked for answer in same])
        if near is None:
            return "No recording answers this request"
        return f"No recording answers this request; the nearest is {same[near[0]].call_id}: {near[1]}"


def _answer(record: Record, request: RequestReceived) -> Answer:
    lane = original_lane(record)
    started = next((s.event for s in record.events if isinstance(s.event, ResponseStarted)), None)
    streamed = any(piece.kind != "body" for piece in lane.pieces)
    headers = dict(started.headers) if started is not None else {}
    content = headers.get("content-type") or ("text/event-stream" if streamed else "application/json")
    times = [request.time, *(piece.time for piece in lane.pieces)]
    pauses = [max(0.0, (b - a) / 1e6) for a, b in pairwise(times)]
    broken = lane.end is not None and type(lane.end).__name__ == "ResponseFailed"
    status = started.status if started is not None and started.status else 200
    frames = [piece.frame for piece in lane.pieces]
    return Answer(
        record.call_id, request.format, status, streamed, content, frames, pauses, normalised(request.body), broken
    )
