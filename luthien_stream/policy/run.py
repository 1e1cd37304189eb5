"""The one engine call for tests, replay and counterfactuals: policies over a request and an answer, no bus, no loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct, field

from luthien_stream.core.lens import Request
from luthien_stream.core.program import Want
from luthien_stream.events.answer import ALL, End, Event, Text, ToolCall
from luthien_stream.events.log import (
    AnyEvent,
    CallHeld,
    PolicyFailed,
    RequestRefused,
    ResponseFailed,
    Terminal,
    VerdictReached,
)
from luthien_stream.policy.api import Policy
from luthien_stream.policy.chain import Chain
from luthien_stream.policy.context import CallFacts, Shared
from luthien_stream.policy.errors import MissingEffect
from luthien_stream.policy.item import Item
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.request import RequestRun

Effects = Mapping[str, Any] | Callable[[Want], Any]
"""Recorded results by key (`0/response/0`), or a function that makes them."""
Clock = Callable[[int], int]
"""The number of an event to the time it came in, microseconds."""


class Transcript(Struct):
    """What came of a run."""

    events: list[Event] = field(default_factory=list)
    """What the client gets of the answer."""
    verdicts: list[VerdictReached] = field(default_factory=list)
    held: list[CallHeld] = field(default_factory=list)
    """What people were asked about."""
    effects: dict[str, Any] = field(default_factory=dict)
    """Results that the policies used, by key."""
    request: Request | None = None
    """The request for the provider, None if there was none."""
    refused: RequestRefused | None = None
    failures: list[PolicyFailed] = field(default_factory=list)
    end: Terminal | None = None
    """How the lane ended; None if the answer's own end decides."""

    @property
    def failed(self) -> bool:
        """True if a policy failed and the call was closed."""
        return isinstance(self.end, ResponseFailed)

    @property
    def text(self) -> str:
        """All text of the answer."""
        return "".join(event.text for event in self.events if isinstance(event, Text))

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tool calls of the answer."""
        return [event for event in self.events if isinstance(event, ToolCall)]

    @property
    def reason(self) -> str:
        """Why the answer ended, empty if it did not."""
        return next((event.reason for event in reversed(self.events) if isinstance(event, End)), "")


def run(
    policies: Pipeline | Policy | Iterable[Policy],
    events: Iterable[Event] = (),
    *,
    request: Request | None = None,
    effects: Effects | None = None,
    clock: Clock = lambda number: number * 1000,
    call: CallFacts | None = None,
) -> Transcript:
    """Run `policies` over a request and an answer's events; an `End` is added where there is none.

    Raises `MissingEffect` where a policy wants an effect that `effects` does not have.
    """
    pipeline = policies if isinstance(policies, Pipeline) else Pipeline.of(policies)
    engine = _Engine(pipeline, call or CallFacts("test"), effects or {}, clock)
    if request is not None:
        engine.ask(request)
    if engine.transcript.refused is None and engine.transcript.end is None:
        engine.answer(events)
    return engine.transcript


class _Engine:
    def __init__(self, pipeline: Pipeline, call: CallFacts, effects: Effects, clock: Clock) -> None:
        self._pipeline, self._call, self._effects, self._clock = pipeline, call, effects, clock
        self._shared = Shared()
        self.transcript = Transcript()

    def ask(self, request: Request) -> None:
        """Run the request phase."""
        out: list[AnyEvent] = []
        run = RequestRun(self._pipeline, self._call, self._shared, request, out)
        run.advance()
        while not run.done:
            self._perform(run.wants())
            run.advance()
        for event in out:
            self._record(event)
        transcript = self.transcript
        self._shared.request = run.request
        transcript.request, transcript.refused, transcript.end = run.request, run.refused, run.failed

    def answer(self, events: Iterable[Event]) -> None:
        """Run the response phase."""
        chain = Chain(self._pipeline, self._call, self._shared, self._sink)
        number, end = 0, None
        self._shared.now = self._clock(0)
        chain.start()
        for number, event in enumerate(events):
            self._shared.now = self._clock(number)
            chain.push(event)
            end = event if isinstance(event, End) else None
        if end is None:
            self._shared.now = self._clock(number)
            chain.push(End("stop"))
        while wants := chain.wants():
            self._perform(wants)
            chain.decided()
        chain.close()

    def _perform(self, wants: Iterable[Want]) -> None:
        for want in wants:
            if callable(self._effects):
                value = self._effects(want)
            elif want.key in self._effects:
                value = self._effects[want.key]
            else:
                raise MissingEffect(f"The run wants {want.key} ({want.kind}), which is not in its effects")
            self._shared.results[want.key] = self.transcript.effects[want.key] = value

    def _sink(self, item: Item) -> None:
        if self.transcript.end is not None:
            return
        if type(item) in ALL:
            self.transcript.events.append(item)  # type: ignore[arg-type]
        else:
            self._record(item)

    def _record(self, item: Any) -> None:
        match item:
            case VerdictReached():
                self.transcript.verdicts.append(item)
            case CallHeld():
                self.transcript.held.append(item)
            case PolicyFailed():
                self.transcript.failures.append(item)
            case _ if isinstance(item, Terminal):
                self.transcript.end = item
