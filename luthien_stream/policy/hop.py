"""One stage on a call's way: what an earlier stage released is an input here, and a later one is told all of it.

A later stage is handed the request as the client sent it, at once, so that it knows the call; what the stages before
made of it comes with their `request.released`. Whatever a stage does not handle it passes on, in order: verdicts, holds
and refusals have one sequence all the way to the edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from luthien_stream.core.lens import Lens
from luthien_stream.core.program import Folded, Want
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    RequestReceived,
    RequestRefused,
    RequestReleased,
    ResponseAborted,
    ResponseCompleted,
    ResponseFailed,
    ResponseStarted,
    Terminal,
    Unknown,
)
from luthien_stream.policy.earlier import Known
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.program import PolicyProgram

_FROM_EDGE = frozenset({ResponseStarted, ResponseCompleted, ResponseFailed, ResponseAborted})
"""What a stage takes of its edge beside request and chunks; the rest is the edge's own record."""


class HopProgram:
    """Implements `core.program.Program` for a stage, wherever on the way it is. See the module."""

    __slots__ = ("_asked", "_first", "_inner", "_last", "_out", "_passes", "_released", "_stage", "over")

    def __init__(self, pipeline: Pipeline, lenses: Mapping[str, Lens], known: Known | None = None) -> None:
        """`known` are other stages that calls pass, by key."""
        self._stage = pipeline.stage
        self._inner = PolicyProgram(pipeline, lenses, known=known)
        self._asked: RequestReceived | None = None
        """The request as it came, while an earlier stage has not released it."""
        self._released: RequestReleased | None = None
        """What earlier stages made of the request, if they changed it."""
        self._first = self._last = True
        self._passes = False
        """An earlier stage has ended the call: there is nothing left to decide."""
        self._out: list[AnyEvent] = []
        self.over = False

    def feed(self, event: AnyEvent, source: str = "") -> None:
        """Take the next accepted input; `source` is whose it is where it belongs to a draw."""
        kind = type(event)
        if source:
            self._inner.feed(event, source)
        elif kind is ChunkReceived:
            self._inner.feed(event)
        elif self._passes:
            self._pass_on(event)
        elif kind is ChunkReleased:
            self._inner.feed(_received(event))  # type: ignore[arg-type]
        elif kind is RequestReceived:
            self._open(event)  # type: ignore[arg-type]
        elif self._asked is not None:
            self._before_release(event)
        elif not self._first:
            self._inner.feed(_copy(event))
        elif kind in _FROM_EDGE:
            self._inner.feed(event)

    def decide(self, key: str, value: Any, of: str = "", time: int = 0) -> None:
        """Take the recorded result of an effect."""
        self._inner.decide(key, value, of, time)

    def advance(self) -> Sequence[AnyEvent]:
        """Run until it waits for input or effects; return outputs in order."""
        made = self._inner.advance()
        self.over = self.over or self._inner.over
        if not (self._out or self._released):
            return made
        out, self._out = self._out, []
        out += made if self._released is None else map(self._as_changed, made)
        return out

    def wants(self) -> Sequence[Want]:
        """The effects it waits for now."""
        return self._inner.wants()

    def folds(self) -> Sequence[Folded]:
        """What the call adds to its session."""
        return self._inner.folds()

    def cut(self, reason: str, message: str) -> Sequence[AnyEvent]:
        """End the call now."""
        out, self._out = self._out, []
        self.over = True
        return [*out, *self._inner.cut(reason, message)]

    def _open(self, event: RequestReceived) -> None:
        place = event.slip.place(self._stage)
        self._first, self._last = place <= 0, place in (-1, len(event.slip.hops) - 1)
        if not self._last:
            self._out.append(msgspec.structs.replace(event))
        if self._first:
            self._inner.feed(event)
        else:
            self._asked = event

    def _before_release(self, event: AnyEvent) -> None:
        """Take what comes before an earlier stage has said what becomes of the request."""
        if isinstance(event, RequestReleased):
            asked, self._asked = self._asked, None
            if event.changed:
                self._released = event
                asked = msgspec.structs.replace(asked, body=event.body, body_ref="", time=event.time)  # type: ignore[type-var]
            self._inner.feed(asked)  # type: ignore[arg-type]
            return
        self._passes = isinstance(event, RequestRefused | Terminal)
        self._pass_on(event)

    def _pass_on(self, event: AnyEvent) -> None:
        self._out.append(_copy(event))
        self.over = self.over or isinstance(event, ResponseCompleted | ResponseFailed | ResponseAborted)

    def _as_changed(self, event: AnyEvent) -> AnyEvent:
        """A request that this stage left alone still is not the client's own."""
        if not isinstance(event, RequestReleased):
            return event
        before, self._released = self._released, None
        if event.changed or before is None:
            return event
        return msgspec.structs.replace(event, changed=True, body=before.body, body_size=len(before.body))


def _received(event: ChunkReleased) -> ChunkReceived:
    """A frame as this stage takes it: under the ordinal that it has in the original lane, -1 if a stage made it."""
    return ChunkReceived(call=event.call, n=event.of, time=event.time, frame=event.frame, kind=event.kind)


def _copy(event: AnyEvent) -> AnyEvent:
    """Inputs are numbered anew as outputs, and stay what they are."""
    return Unknown(dict(event.fields)) if isinstance(event, Unknown) else msgspec.structs.replace(event)
