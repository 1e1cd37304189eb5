"""The one engine call for tests, replay and counterfactuals: policies over a request and an answer, no bus, no loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from luthien_stream.core.lens import Lens, Request
from luthien_stream.core.program import Folded, Want
from luthien_stream.events.answer import ALL, End, Event, Text, ToolCall
from luthien_stream.events.log import (
    AnyEvent,
    CallHeld,
    LogEvent,
    PolicyFailed,
    PolicyRan,
    RequestRefused,
    ResponseFailed,
    SampleRequested,
    Terminal,
    VerdictReached,
)
from luthien_stream.policy.api import Policy
from luthien_stream.policy.chain import Chain
from luthien_stream.policy.context import CallFacts, Shared
from luthien_stream.policy.draws import Draws
from luthien_stream.policy.errors import MissingEffect
from luthien_stream.policy.folding import Sessions
from luthien_stream.policy.item import Item
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.request import RequestRun
from luthien_stream.policy.tally import Tally

Effects = Mapping[str, Any] | Callable[[Want], Any]
"""Recorded results by key (`0/response/0`), or a function that makes them."""
Samples = Callable[[SampleRequested], Any]
"""What a model answers: a text, events, a recorded failure, or the inputs that the edge would write."""
Clock = Callable[[int], int]
"""The number of an event to the time it came in, microseconds."""


class Transcript(Struct):
    """What came of a run."""

    events: list[Event] = field(default_factory=list)
    """What the client gets of the answer."""
    verdicts: list[VerdictReached] = field(default_factory=list)
    held: list[CallHeld] = field(default_factory=list)
    """What people were asked about."""
    samples: list[SampleRequested] = field(default_factory=list)
    """What models were asked."""
    effects: dict[str, Any] = field(default_factory=dict)
    """Results that the policies used, by key."""
    request: Request | None = None
    """The request for the provider, None if there was none."""
    refused: RequestRefused | None = None
    policies: Sequence[PolicyRan] = ()
    """The policies that were run to their end, in order."""
    folds: Sequence[Folded] = ()
    """What the call adds to its session."""
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
    samples: Samples | None = None,
    lenses: Mapping[str, Lens] | None = None,
    clock: Clock = lambda number: number * 1000,
    call: CallFacts | None = None,
) -> Transcript:
    """Run `policies` over a request and an answer's events; an `End` is added where there is none.

    What `ctx.sample` and `ctx.judge` are answered is in `effects` too, or comes from `samples`; frames need `lenses`.
    Raises `MissingEffect` where a policy wants an effect that is in neither.
    """
    pipeline = policies if isinstance(policies, Pipeline) else Pipeline.of(policies)
    engine = _Engine(pipeline, call or CallFacts("test"), effects or {}, clock)
    engine.draw(samples, lenses or {})
    if request is not None:
        engine.ask(request)
    if engine.transcript.refused is None and engine.transcript.end is None:
        engine.answer(events)
    return engine.done()


class _Engine:
    def __init__(self, pipeline: Pipeline, call: CallFacts, effects: Effects, clock: Clock) -> None:
        self._pipeline, self._call, self._effects, self._clock = pipeline, call, effects, clock
        self._shared = Shared()
        self._samples: Samples | None = None
        self._draws = Draws(pipeline, {}, call, self._shared)
        self.transcript = Transcript()

    def draw(self, samples: Samples | None, lenses: Mapping[str, Lens]) -> None:
        """Say what models answer."""
        self._samples = samples
        shared = self._shared
        self._draws = shared.draws = Draws(self._pipeline, lenses, self._call, shared)
        shared.tally = Tally(self._pipeline)
        shared.sessions = Sessions(self._call.session, self._pipeline.folds, shared.results)
        want = shared.sessions.want()
        if want is not None:
            self._perform([want])

    def ask(self, request: Request) -> None:
        """Run the request phase."""
        out: list[AnyEvent] = []
        run = RequestRun(self._pipeline, self._call, self._shared, request, out)
        run.advance()
        while not run.done:
            self._perform([*run.wants(), *self._draws.wants()])
            run.advance()
        for event in out:
            self._record(event)
        transcript = self.transcript
        self._shared.request = run.request
        transcript.request, transcript.refused, transcript.end = run.request, run.refused, run.failed

    def done(self) -> Transcript:
        """Add up what came of it."""
        shared, transcript = self._shared, self.transcript
        if shared.tally is not None and shared.sessions is not None:
            shared.tally.refused = transcript.refused is not None
            transcript.policies, transcript.folds = shared.tally.finished(), shared.sessions.folded()
        return transcript

    def answer(self, events: Iterable[Event]) -> None:
        """Run the response phase."""
        chain = Chain(self._pipeline, self._call, self._shared, self._sink)
        number, end = 0, None
        self._at(0)
        chain.start()
        for number, event in enumerate(events):
            self._at(number)
            chain.push(event)
            end = event if isinstance(event, End) else None
        if end is None:
            self._at(number)
            chain.push(End("stop"))
        while self._shared.waiting:
            self._perform([*chain.wants(), *self._draws.wants()])
            chain.decided()
        chain.close()
        self._draws.close()

    def _at(self, number: int) -> None:
        self._shared.now = self._shared.clock = self._clock(number)

    def _perform(self, wants: Iterable[Want]) -> None:
        for want in wants:
            value = self.transcript.effects[want.key] = self._value(want)
            inputs = value if want.kind == "sample" and isinstance(value, list) else []
            if not any(isinstance(one, LogEvent) for one in inputs):
                self._shared.results[want.key] = value
                continue
            for one in inputs:
                if isinstance(one, dict):
                    self._shared.results[want.key] = one
                else:
                    self._draws.feed(want.key, one)

    def _value(self, want: Want) -> Any:
        if self._samples is not None and want.kind == "sample":
            return self._samples(self._draws.requests[want.key])
        if callable(self._effects):
            return self._effects(want)
        if want.key not in self._effects:
            raise MissingEffect(f"The run wants {want.key} ({want.kind}), which is not in its effects")
        return self._effects[want.key]

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
            case SampleRequested():
                self.transcript.samples.append(item)
            case CallHeld():
                self.transcript.held.append(item)
            case PolicyFailed():
                self.transcript.failures.append(item)
            case _ if isinstance(item, Terminal):
                self.transcript.end = item
