"""One case through the policies: the program that a worker runs, over a log made of the case, and what it came to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any

from msgspec import Struct, field

from luthien_stream.cli.try_cases import Case, Turn
from luthien_stream.cli.try_effects import Answers, NoAnswer, NoEffect, reply_inputs
from luthien_stream.cli.try_left import left_of
from luthien_stream.core.program import Want
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    Known,
    PolicyFailed,
    RequestReceived,
    RequestReleased,
    ResponseCompleted,
    ResponseFailed,
    ResponseStarted,
    SampleRequested,
    Slip,
    VerdictReached,
)
from luthien_stream.formats import LENSES
from luthien_stream.policy.gate import ToolGate
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.program import PolicyProgram

GRAVITY = ("allow", "score", "rewrite", "hold", "deny", "stop", "failed", "error")
"""Verdicts, the gravest last. `failed`: a policy failed; `error`: the case could not be tried."""
_START = 1_760_000_000_000_000
"""When the calls begin, microseconds; their events come a millisecond apart."""
_OUR_FAULT = ("bad_request", "upstream_protocol")


class Outcome(Struct):
    """What became of a case. `ms` is the time that the policies took, milliseconds."""

    id: Any
    verdict: str = "allow"
    reason: str = ""
    shown: str = ""
    output: Any = None
    ms: float = 0.0
    shadow: list[dict[str, Any]] | None = None
    """What policies in shadow decided, None if there are none."""


class Finding(Struct, frozen=True):
    """One decision, in what matters here."""

    verdict: str
    reason: str = ""
    shown: str = ""


class Ran(Struct):
    """What came out for one turn; `held` says why a person is asked, where that ended it."""

    turn: Turn
    outputs: list[AnyEvent] = field(default_factory=list)
    held: str | None = None
    relayed: bool = False
    """No policy reads answers: the answer goes to the client as it came."""

    @property
    def frames(self) -> list[bytes]:
        """The answer's frames for the client."""
        if self.relayed and self.turn.answer is not None:
            return [*self.turn.answer.chunks]
        return [event.frame for event in self.outputs if isinstance(event, ChunkReleased)]

    @property
    def request(self) -> bytes | None:
        """The request for the provider, None if it was not released."""
        for event in self.outputs:
            if isinstance(event, RequestReleased):
                return event.body if event.changed else self.turn.request
        return None

    def findings(self) -> Iterator[Finding]:
        """All that was decided, in order."""
        for event in self.outputs:
            match event:
                case VerdictReached():
                    yield Finding(event.kind, event.reason, event.shown)
                case PolicyFailed():
                    yield Finding("failed", f"the policy {event.policy} failed: {event.message}")
                case ResponseFailed() if event.error in _OUR_FAULT:
                    yield Finding("error", event.message)
                case RequestReleased() if event.changed and self.turn.asked:
                    yield Finding("rewrite", "the request was changed")
        if self.held is not None:
            yield Finding("hold", self.held)
        elif self.turn.answer is not None and self.frames not in ([], [*self.turn.answer.chunks]):
            yield Finding("rewrite", "the answer was changed")


class Trial:
    """Runs cases through one pipeline; `effects` are results by key or kind."""

    def __init__(self, pipeline: Pipeline, effects: Mapping[str, Any], shadow: Pipeline | None = None) -> None:
        self._pipeline, self._effects, self._shadow = pipeline, effects, shadow
        policies = [bound.policy for bound in pipeline.policies]
        self._gates_only = bool(policies) and all(isinstance(policy, ToolGate) for policy in policies)

    def run(self, case: Case) -> Outcome:
        """Run all turns of a case, and say the gravest that was decided."""
        outcome, answers = Outcome(case.id), Answers(self._effects)
        findings: list[Finding] = []
        ran: list[Ran] = []
        begun = perf_counter()
        try:
            for number, turn in enumerate(case.turns):
                ran.append(_turn(self._pipeline, case, turn, number, answers))
        except NoEffect as error:
            findings.append(Finding("error", str(error)))
        if self._shadow is not None:
            outcome.shadow = self._watched(self._shadow, case)
        outcome.ms = round((perf_counter() - begun) * 1000, 3)
        for number, one in enumerate(ran, 1):
            where = f"turn {number}: " if len(case.turns) > 1 else ""
            findings += [Finding(f.verdict, f.reason and where + f.reason, f.shown) for f in one.findings()]
        if not findings and self._gates_only and case.shape == "said" and "tool" not in case.given:
            findings.append(Finding("allow", "there is no tool call here, and only tool calls are looked at"))
        held = any(one.held is not None for one in ran)
        left = None if held else left_of(case, [(one.turn, one.request, one.frames) for one in ran])
        _conclude(outcome, findings, left)
        if "tool" in case.given and isinstance(left, str) and outcome.verdict in ("deny", "stop"):
            outcome.output = None  # all that is left is what the agent is shown
        return outcome

    def _watched(self, shadow: Pipeline, case: Case) -> list[dict[str, Any]]:
        """What policies beside the calls decided; a monitor that asks for what is not given has no verdict."""
        answers, found = Answers(self._effects), []
        for number, turn in enumerate(case.turns):
            for event in _turn(shadow, case, turn, number, answers).outputs:
                if isinstance(event, VerdictReached):
                    found.append({"policy": event.policy, "verdict": event.kind, "reason": event.reason})
                elif isinstance(event, PolicyFailed):
                    found.append({"policy": event.policy, "verdict": "failed", "reason": event.message})
        return found


def _turn(pipeline: Pipeline, case: Case, turn: Turn, number: int, answers: Answers) -> Ran:
    program, ran = PolicyProgram(pipeline, LENSES), Ran(turn)
    try:
        for event in log_of(case, turn, f"try-{case.id}-{number}"):
            program.feed(event)
            ran.outputs += program.advance()
            while wants := program.wants():
                for want in wants:
                    _perform(program, want, ran, answers)
                ran.outputs += program.advance()
            if program.over:
                ran.relayed = ran.request is not None and "response" not in pipeline.phases
                break
    except NoAnswer as hold:
        ran.held = str(hold)
        ran.outputs += program.cut("held", "A person is asked")
    answers.fold(program.folds())
    return ran


def _perform(program: PolicyProgram, want: Want, ran: Ran, answers: Answers) -> None:
    """Give the program what it waits for: a result, or a model's answer as the inputs that it is."""
    asked = (event for event in ran.outputs if isinstance(event, SampleRequested) and event.key == want.key)
    requested = next(asked, None)
    if requested is None:
        program.decide(want.key, answers.result(want))
        return
    reply = answers.reply(requested)
    if isinstance(reply, dict) and isinstance(reply.get("error"), str):
        program.decide(want.key, reply)
        return
    for event in reply_inputs(requested, reply):
        program.feed(event, f"sample:{want.key}")


def log_of(case: Case, turn: Turn, call: str) -> Iterator[AnyEvent]:
    """The inputs of one call, in order."""
    if turn.log:
        yield from turn.log
        return
    for number, event in enumerate(_events(case, turn, call)):
        event.n, event.time = number, _START + number * 1000
        yield event


def _events(case: Case, turn: Turn, call: str) -> Iterator[Known]:
    yield RequestReceived(
        call=call,
        edge="try",
        slip=Slip(),
        format=turn.format,
        path="/",
        body=turn.request,
        model=turn.model,
        streamed=turn.streamed,
        session=case.session,
    )
    if turn.answer is None:
        return
    streamed = turn.answer.streamed
    yield ResponseStarted(call=call, status=200, streamed=streamed)
    for chunk in turn.answer.chunks:
        yield ChunkReceived(call=call, frame=chunk, kind="frame" if streamed else "body")
    yield ResponseCompleted(call=call, lane="original")


def _conclude(outcome: Outcome, findings: Sequence[Finding], left: Any) -> None:
    """Fill in the gravest verdict, why, and what is left; what failed leaves nothing."""
    gravest = max((f.verdict for f in findings), key=GRAVITY.index, default="allow")
    counted = [f for f in findings if f.verdict == gravest]
    said = [f.reason for f in counted if f.reason]
    own = [reason for reason in said if not reason.endswith("was changed")] or said
    outcome.verdict = gravest
    outcome.reason = "; ".join(dict.fromkeys(own))
    outcome.shown = "\n\n".join(dict.fromkeys(f.shown for f in counted if f.shown))
    outcome.output = None if gravest in ("failed", "error") else left
