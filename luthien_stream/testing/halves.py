"""The law of half arrived answers: killed with any part of what a policy has asked for there, it ends the same."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from luthien_stream.core.program import Program, Want
from luthien_stream.events.log import AnyEvent
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.testing.rig import Effects, Samples, give, program, requested

Step = tuple[str, AnyEvent | dict[str, Any]]
"""An input: empty and an event of the call, or the key of an answer and an event or failure of it."""


def check_half(
    pipeline: Pipeline,
    log: Sequence[AnyEvent],
    effects: Effects | None,
    samples: Samples,
    same: Callable[[list[AnyEvent]], bool],
    where: str,
) -> None:
    """Feed an event of the call and one of each answer by turns; kill it after each; then the call's rest first."""
    steps: list[Step] = []
    lane = _by_turns(program(pipeline), log, effects, samples, steps)
    assert same(lane), f"{where}: with answers that come bit by bit it differs"
    for killed in range(len(steps)):
        again = program(pipeline)
        out: list[AnyEvent] = []
        rest = sorted(steps[killed:], key=lambda step: step[0] != "")
        for step in [*steps[:killed], *rest]:
            _take(again, step)
            out += again.advance()
            _decide(again, effects, out)
        assert same(out), f"{where}: killed after input {killed}, answers half there, it differs"


def _by_turns(
    made: Program, log: Sequence[AnyEvent], effects: Effects | None, samples: Samples, steps: list[Step]
) -> list[AnyEvent]:
    """Run it, one input at a time; `steps` is what it was fed."""
    calls = deque(log)
    answers: dict[str, deque[AnyEvent | dict[str, Any]]] = {}
    out: list[AnyEvent] = []
    while calls or any(answers.values()):
        turn: list[Step] = [("", calls.popleft())] if calls else []
        turn += [(key, answer.popleft()) for key, answer in answers.items() if answer]
        for step in turn:
            steps.append(step)
            _take(made, step)
            out += made.advance()
            for want in _decide(made, effects, out):
                if want.key not in answers:
                    answers[want.key] = deque(samples(requested(out, want.key)))
    return out


def _decide(made: Program, effects: Effects | None, out: list[AnyEvent]) -> list[Want]:
    """Decide what is no answer; return the answers that it waits for."""
    while others := [want for want in made.wants() if want.kind != "sample"]:
        assert effects is not None, f"it wants {others[0].kind}, and there are no effects"
        for want in others:
            made.decide(want.key, effects(want))
        out += made.advance()
    return list(made.wants())


def _take(made: Program, step: Step) -> None:
    key, one = step
    if key:
        give(made, key, one)
    elif not isinstance(one, dict):
        made.feed(one)
