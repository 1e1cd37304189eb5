"""A recorded call through other policies: what would have become of it.

Exact for one turn, since the answer was given before any policy acted on it. A request that the candidate changes would
have had another answer: then what is said of the answer holds for the recorded one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from luthien_stream.core.accept import CUT
from luthien_stream.core.program import Folded, Want
from luthien_stream.errors import LuthienError
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    EffectRecorded,
    ResponseStarted,
    SampleRequested,
    Slip,
    Terminal,
)
from luthien_stream.formats import LENSES
from luthien_stream.policy.beside import ShadowProgram
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.program import PolicyProgram
from luthien_stream.record.lanes import Record
from luthien_stream.replay.asking import Ask, AskedOnce, asked_of
from luthien_stream.replay.chunking import CannotCut
from luthien_stream.replay.differing import note_differences
from luthien_stream.replay.feed import NotWhole, edge_of, lane, request_of
from luthien_stream.replay.outcome import recorded_side, side_of, summary_of
from luthien_stream.replay.pool import Pool, Result
from luthien_stream.replay.proof import content
from luthien_stream.replay.result import Asked, Comparison, Side
from luthien_stream.replay.virtual import Clocked, Passed

OnMiss = Literal["fail", "skip", "live"]
MASKED = "secrets were masked in this record: a policy that looks for them does not find them"


class Candidate(Struct, frozen=True):
    """What is tried: what would be enforced, as one stage, and what would watch beside it."""

    enforcing: Pipeline
    shadow: Pipeline | None = None


class Options(Struct, frozen=True):
    """How it is tried. `given` are results of effects by key or kind, which come before the record's."""

    on_miss: OnMiss = "fail"
    given: Mapping[str, Any] = field(default_factory=dict)
    ask: Ask | None = None
    """How models are asked now, where they may be."""
    first: Literal["log", "live"] = "log"
    """Where an answer is looked for first."""
    cut: Callable[[Record], Record] | None = None
    """Cuts the answer otherwise before the candidate gets it."""
    now: int = 0
    """When the call is said to begin, microseconds since 1970; 0: when it did."""
    twice: bool = True
    """Run again, to catch what is not a function of the record."""
    twice_if_changed: bool = False
    """Where `twice` is not asked for: run again if the first run differs from the record."""


class Folds:
    """What the calls of a session have added so far, when several are run in order."""

    def __init__(self) -> None:
        self._deltas: dict[str, list[Any]] = {}

    def value(self, want: Want) -> dict[str, Any]:
        """The result of the effect that reads a session."""
        return {
            name: {"base": 0, "state": None, "deltas": list(self._deltas.get(name, []))} for name in want.args["names"]
        }

    def add(self, folded: Sequence[Folded]) -> None:
        """Take what a call adds."""
        for one in folded:
            self._deltas.setdefault(one.name, []).append(one.delta)


DEFAULTS = Options()


def compare(
    record: Record, candidate: Candidate, options: Options = DEFAULTS, folds: Folds | None = None
) -> Comparison:
    """Run the candidate over the call, and say what differs from what is on record."""
    comparison = Comparison(record.call_id, "same")
    live = None if options.ask is None else AskedOnce(options.ask)
    options = replace(options, ask=live)
    try:
        summary_of(record, comparison)
        comparison.recorded = recorded_side(record)
        tried = record if options.cut is None else _otherwise(record, options.cut, comparison)
        first = _Run(tried, candidate, options, folds)
        comparison.candidate = first.side()
    except NotWhole as error:
        comparison.status, comparison.why = "incomplete", str(error)
        return comparison
    except LuthienError as error:
        comparison.status, comparison.why = "nondeterministic", f"The candidate breaks: {error}"
        return comparison
    comparison.asked = first.asked
    comparison.notes += first.notes
    if record.masked:
        comparison.notes.append(MASKED)
    if first.missing:
        comparison.status, comparison.why = "missing_effect", _missing(first.missing[0])
    else:
        note_differences(comparison, [bound.name for bound in candidate.enforcing.policies])
        twice = options.twice or (options.twice_if_changed and comparison.status == "differs")
        if live is not None:
            live.begin()
        if twice and not _equal(first, _Run(tried, candidate, options, folds)):
            comparison.status = "nondeterministic"
            comparison.why = "The candidate, run twice over the same record, gave two results"
            comparison.changes, comparison.at = [], -1
    if folds is not None:
        folds.add(first.folded)
    return comparison


def _otherwise(record: Record, cut: Callable[[Record], Record], comparison: Comparison) -> Record:
    """The call with its answer cut otherwise, as it is where that cannot be done."""
    try:
        return cut(record)
    except CannotCut as error:
        comparison.notes.append(f"{error}: it is cut as it was recorded")
        return record


class _Run:
    """One run of the candidate over one record."""

    def __init__(self, record: Record, candidate: Candidate, options: Options, folds: Folds | None) -> None:
        self._record, self._options, self._folds = record, options, folds
        self._pool = Pool(record)
        self._request = request_of(record)
        self._inputs = _moved(_inputs(record), options.now)
        self.asked: list[Asked] = []
        self.missing: list[Want] = []
        self.notes: list[str] = []
        self._names: list[str] = []
        self._main = self._pass(candidate.enforcing, shadow=False)
        self._watched = None if candidate.shadow is None else self._pass(candidate.shadow, shadow=True)

    def side(self) -> Side:
        """What became of the call."""
        relayed = not any(isinstance(e, Terminal) for e in self._main.outputs) and "response" not in self._phases
        outputs, times = list(self._main.outputs), list(self._main.times)
        if relayed:
            received = [event for event in self._inputs if isinstance(event, ChunkReceived)]
            outputs += [ChunkReleased(call=e.call, n=e.n, frame=e.frame, kind=e.kind, of=e.n) for e in received]
            times += [event.time for event in received]
            outputs += [_final(event) for event in self._inputs if isinstance(event, Terminal)]
            times += [event.time for event in self._inputs if isinstance(event, Terminal)]
        if self._watched is not None:
            shown = [event for event in self._watched.outputs if not isinstance(event, ChunkReleased | Terminal)]
            outputs += shown
            times += [0] * len(shown)
        arrived = {event.n: event.time for event in self._inputs if isinstance(event, ChunkReceived)}
        left = [time for event, time in zip(outputs, times, strict=True) if isinstance(event, ChunkReleased)]
        return side_of(self._request, outputs, left, arrived)

    @property
    def folded(self) -> Sequence[Folded]:
        """What the call adds to its session."""
        return self._program.folds()

    @property
    def outputs(self) -> list[AnyEvent]:
        """All that came out, the watchers' behind the rest."""
        return [*self._main.outputs, *(self._watched.outputs if self._watched else [])]

    def _pass(self, pipeline: Pipeline, *, shadow: bool) -> Passed:
        self._names = [bound.name for bound in pipeline.policies]
        program = ShadowProgram(pipeline, LENSES) if shadow else PolicyProgram(pipeline, LENSES)
        if not shadow:
            self._program, self._phases = program, pipeline.phases
        clocked = Clocked(program, self._answer)
        clocked.run([replace(event) for event in self._inputs])
        cut = _cut_of(self._record)
        if cut is not None and not clocked.passed.missing:
            now = cut.time + self._inputs[0].time - self._request.time
            clocked.end(str(cut.value["reason"]), str(cut.value["message"]), now)
        self.missing += clocked.passed.missing
        return clocked.passed

    def _answer(self, want: Want, requested: SampleRequested | None) -> Result | None:
        if want.kind == "session" and self._folds is not None:
            return Result(0, self._folds.value(want))
        given = self._given(want)
        if given is not None:
            return given
        index = want.key.split("/")[0]
        policy = self._names[int(index)] if index.isdigit() and int(index) < len(self._names) else ""
        found = self._sampled(requested) if requested is not None else self._pool.take(want, policy)
        if found is None and self._options.on_miss == "skip":
            self.notes.append(f"{want.key} ({want.kind}) is not on record: it failed as `unavailable`")
            return Result(0, {"error": "unavailable", "message": "It is not on record"})
        return found

    def _sampled(self, requested: SampleRequested) -> Result | None:
        options = self._options
        live = options.first == "live"
        found = None if live else self._pool.answer(requested)
        if found is None and options.ask is not None and (live or options.on_miss == "live"):
            found, live = options.ask(requested), True
        if found is not None:
            self.asked.append(asked_of(requested, found, "live" if live else "log"))
        return found

    def _given(self, want: Want) -> Result | None:
        given = self._options.given
        for name in (want.key, want.kind):
            if name in given:
                return Result(0, given[name])
        return None


def _inputs(record: Record) -> list[AnyEvent]:
    """The original lane, without a way of its own, as far as the call got."""
    found = lane(record, edge_of(record))
    opened = replace(request_of(record), slip=Slip())
    cut = _cut_of(record)
    most = len(found) if cut is None else cut.value.get("inputs", len(found))
    kept = [one.event for one in found[1:most] if isinstance(one.event, ResponseStarted | ChunkReceived | Terminal)]
    return [opened, *kept]


def _moved(inputs: list[AnyEvent], now: int) -> list[AnyEvent]:
    """The inputs as if the call had begun at `now`."""
    if not now:
        return inputs
    by = now - inputs[0].time
    return [replace(event, time=event.time + by) for event in inputs]


def _cut_of(record: Record) -> EffectRecorded | None:
    """That the call was ended early where it was decided on first."""
    slip = request_of(record).slip
    first = f"stage:{slip.hops[0].stage}" if slip.hops else ""
    effects = (s.event for s in record.events if isinstance(s.event, EffectRecorded) and s.src == first)
    return next((effect for effect in effects if effect.key == CUT), None)


def _final(event: AnyEvent) -> AnyEvent:
    return replace(event, lane="final")


def _missing(want: Want) -> str:
    return (
        f"The candidate asks for {want.kind!r} ({want.key}), which is not on record: give it with --effects fake:FILE, "
        "or go on with --on-miss skip"
    )


def _equal(one: _Run, other: _Run) -> bool:
    return [_bare(event) for event in one.outputs] == [_bare(event) for event in other.outputs]


def _bare(event: AnyEvent) -> Any:
    return (event.frame, event.of) if isinstance(event, ChunkReleased) else content(event)
