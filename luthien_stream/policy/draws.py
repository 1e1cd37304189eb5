"""Answers that policies have asked for: each is decoded and passes the policies before its caller, when it is read.

Nothing of it is looked at before the caller wants the next event, and nothing depends on when its frames came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from luthien_stream.core.lens import Decoder, Lens
from luthien_stream.core.program import Want
from luthien_stream.errors import UpstreamError
from luthien_stream.events.answer import ALL, End, Event, Opaque, PartEnd, Text, Thinking, ToolCall
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    Known,
    ProtocolViolated,
    ResponseAborted,
    ResponseCompleted,
    ResponseFailed,
    ResponseStarted,
    SampleRequested,
)
from luthien_stream.policy.chain import Chain
from luthien_stream.policy.earlier import EMPTY, Earlier
from luthien_stream.policy.effects import failed, is_failure
from luthien_stream.policy.facts import DONE, CallFacts, Got, Identity, Shared
from luthien_stream.policy.item import Item
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.stream import HOLD_LIMIT

Note = Callable[[Known], None]
_BROKEN = {"cut": "cut", "error": "provider_error"}


class Draws:
    """All answers that one call's policies have asked for, by key."""

    def __init__(
        self,
        pipeline: Pipeline,
        lenses: Mapping[str, Lens],
        call: CallFacts,
        shared: Shared,
        earlier: Earlier = EMPTY,
    ) -> None:
        """`earlier` are the stages that the call's own answer passes before this one."""
        self._pipeline, self._lenses, self._call, self._shared = pipeline, lenses, call, shared
        self._earlier = earlier
        self._draws: dict[str, Draw] = {}
        self.requests: dict[str, SampleRequested] = {}
        """What was asked for, by key."""

    def open(self, requested: SampleRequested, want: Want, me: Identity, note: Note) -> Draw:
        """Expect the answer to `requested`. Of what comes out beside its events, `note` is told as it is read.

        Raises `PolicyError` for a sample that would go past a stage that this worker does not know.
        """
        shared = self._shared.nested()
        draw = Draw(want, self._lenses.get(requested.format), requested.model, self._call.id, shared, note)
        if requested.why == "sample":
            earlier = self._earlier.policies()
            before = Pipeline((*earlier, *self._pipeline.policies[: me.index]), self._pipeline.name)
            chain = Chain(before, self._call, shared, draw.sink, prefix=f"{want.key}/", first=-len(earlier))
            draw.through(chain)
        self._draws[want.key], self.requests[want.key] = draw, requested
        return draw

    def feed(self, key: str, event: AnyEvent) -> None:
        """Take the next input of an answer."""
        draw = self._draws.get(key)
        if draw is not None:
            draw.feed(event)

    def wants(self) -> Sequence[Want]:
        """The answers that have not ended, and what the policies that they pass wait for."""
        return [want for draw in self._draws.values() for want in draw.wants()]

    def close(self) -> None:
        """Let go of all policies."""
        for draw in self._draws.values():
            draw.close()


class Draw:
    """One of them. `pull` gives what its reader wants next."""

    def __init__(self, want: Want, lens: Lens | None, model: str, call: str, shared: Shared, note: Note) -> None:
        self._want, self._lens, self._model, self._call = want, lens, model, call
        self._shared, self._note = shared, note
        self._chain: Chain | None = None
        self._inputs: deque[AnyEvent] = deque()
        self._size = 0
        self._ended = False
        """All of its inputs are there."""
        self._decoder: Decoder | None = None
        self._rest, self._status = b"", 200
        self._clock = 0
        self._items: deque[Event | Known] = deque()
        """What is decoded and has passed, not read yet."""
        self._end: Got | None = None
        """What is read behind the last of them."""
        self.read = False
        """Its reader has seen the end."""
        self.time = 0
        """When the last input that was looked at came in, microseconds since 1970."""

    def through(self, chain: Chain) -> None:
        """Have it pass these policies, whose sink is `sink`."""
        self._chain = chain

    def feed(self, event: AnyEvent) -> None:
        """Take the next input."""
        self._size += len(getattr(event, "frame", b""))
        if self._size > HOLD_LIMIT and isinstance(event, ChunkReceived):
            event = ResponseFailed(call=self._call, lane="original", time=event.time, error="too_large")
            event.message = f"The answer has more than {HOLD_LIMIT} bytes"
        if not self._ended:
            self._ended = isinstance(event, ResponseCompleted | ResponseFailed | ResponseAborted)
            self._inputs.append(event)

    def wants(self) -> Sequence[Want]:
        """Its own end, and what its policies wait for."""
        own = [] if self._ended or self.read or self._want.key in self._shared.results else [self._want]
        return own if self._chain is None or self.read else [*own, *self._chain.wants()]

    def pull(self, clock: int) -> Got | None:
        """The next event, `DONE` behind the last, a failure; None where it has not come."""
        self._clock = clock
        while True:
            while self._items:
                item = self._items.popleft()
                if type(item) in ALL:
                    return item  # type: ignore[return-value]
                self._note(item)  # type: ignore[arg-type]
            if self._end is not None:
                self.read = True
                self.close()
                return self._end
            if self._chain is not None and self._shared.waiting:
                self._chain.decided()
                if self._shared.waiting and not self._items:
                    return None
            elif self._inputs:
                self._take(self._inputs.popleft())
            elif self._want.key in self._shared.results:
                self._recorded(self._shared.results[self._want.key])
            else:
                return None

    def sink(self, item: Item) -> None:
        """Take what comes out of the policies: events are made anew, without their link to frames."""
        if self._end is not None:
            return
        self.time = max(self.time, self._shared.clock)
        match item:
            case Text():
                self._items.append(Text(item.text, refusal=item.refusal))
            case ToolCall():
                self._items.append(ToolCall(item.id, item.name, item.arguments, kind=item.kind))
            case PartEnd():
                self._items.append(PartEnd())
            case Opaque():
                what = f"{item.kind} of the answer drawn from {self._model} cannot be delivered"
                self._items.append(ProtocolViolated(call=self._call, rule="foreign", message=what, by="sample"))
            case End():
                self._finish(item)
            case ResponseFailed():
                self._fail("policy_failed", item.message)
            case ResponseCompleted() | Thinking() | bytes():
                pass
            case _:
                self._items.append(item)  # type: ignore[arg-type]

    def close(self) -> None:
        """Let go of its policies."""
        if self._chain is not None:
            self._chain.close()

    def _take(self, event: AnyEvent) -> None:
        shared, came = self._shared, getattr(event, "time", 0)
        shared.now, shared.clock = came, max(came, self._clock)
        self.time = max(self.time, came)
        if isinstance(event, ResponseStarted):
            self._status = event.status
        elif isinstance(event, ChunkReceived):
            self._chunk(event)
        elif isinstance(event, ResponseCompleted):
            self._complete()
        elif isinstance(event, ResponseFailed):
            self._status = event.status or self._status
            self._fail(event.error, event.message)
        elif isinstance(event, ResponseAborted):
            self._fail("aborted", event.reason)

    def _chunk(self, event: ChunkReceived) -> None:
        if self._status >= 400:
            return
        if self._lens is None:
            self._fail("unsupported", "Its format is not known here")
            return
        if self._decoder is None:
            whole = event.kind == "body"
            self._decoder = self._lens.body_decoder() if whole else self._lens.decoder(ALL)
            if self._chain is not None:
                self._chain.start()
        if event.kind == "rest":
            self._rest = event.frame
            return
        decoder = self._decoder
        self._read(lambda: decoder.frame(event.frame))

    def _complete(self) -> None:
        """The provider's answer is whole: an HTTP error has no events, and what broke off has ended as `cut`."""
        decoder = self._decoder
        if decoder is not None:
            self._read(lambda: decoder.close(self._rest))
        else:
            self._fail("provider_error", f"The provider answered with status {self._status}")

    def _read(self, decode: Callable[[], Sequence[bytes | Event]]) -> None:
        try:
            items = decode()
        except UpstreamError as error:
            self._fail("provider_error", str(error))
        else:
            self._give(items)

    def _give(self, items: Iterable[bytes | Event]) -> None:
        push = self.sink if self._chain is None else self._chain.push
        for item in items:
            push(item)

    def _recorded(self, value: Any) -> None:
        """The owner has recorded how it ended: too late, or as a test says."""
        self.time = max(self.time, self._shared.records.get(self._want.key, ("", 0))[1])
        if is_failure(value):
            self._status = value.get("status", self._status)
            self._fail(value["error"], value.get("message", ""))
            return
        if self._chain is not None:
            self._chain.start()
        events = list(value) if isinstance(value, list | tuple) else [Text(str(value))]
        self._give(events if events and isinstance(events[-1], End) else [*events, End("stop")])

    def _finish(self, end: End) -> None:
        if end.reason in _BROKEN:
            self._fail(_BROKEN[end.reason], end.error or "The answer ended before its end")
            return
        usage = dict((self._decoder.usage if self._decoder is not None else end.usage) or {})
        self._shared.bills.append(usage)
        self._items.append(End(end.reason, usage=usage))
        self._end = DONE

    def _fail(self, error: str, message: str) -> None:
        if self._end is None:
            self._end = failed(self._want.kind, error, message, status=self._status)
