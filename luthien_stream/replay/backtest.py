"""Many calls under a candidate, counted: what a backtest says, whatever form it is printed in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field

from luthien_stream.replay.bootstrap import Figure, figures
from luthien_stream.replay.case import BLOCKED, Case, Holds, Outcome, gravest, worst_first
from luthien_stream.replay.metrics import Scored, quantile
from luthien_stream.replay.result import GRAVITY, Asked

OUTCOMES: tuple[Outcome, ...] = (
    "same",
    "differs",
    "nondeterministic",
    "missing_effect",
    "incomplete",
    "not_installed",
    "not_compared",
)


class Share(Struct, frozen=True):
    """So many of so many."""

    count: int
    of: int

    @property
    def share(self) -> float:
        """0 where there are none."""
        return self.count / self.of if self.of else 0.0


class Hold(Struct, frozen=True):
    """How long frames were held, microseconds, rounded up to two digits."""

    frames: int
    p50: int
    p95: int
    max: int


class Questions(Struct, frozen=True):
    """Questions to one model."""

    model: str
    why: str
    count: int
    input_tokens: int
    output_tokens: int
    cost: float | None = None
    """USD; None where the price is not known."""


class Telling(Struct, frozen=True):
    """How well labelled calls, or sessions, are told apart."""

    attacks: int
    benign: int
    unscored_attacks: int
    unscored_benign: int
    figures: dict[str, Figure]
    scores_attack: tuple[float, ...] = ()
    scores_benign: tuple[float, ...] = ()


class Report(Struct):
    """What came of a backtest."""

    calls: int
    sessions: int
    outcomes: dict[str, int]
    matrix: dict[str, dict[str, int]]
    """Recorded verdict to candidate's verdict to calls, of those that were compared."""
    changed_calls: Share
    changed_sessions: Share
    changed_turns: dict[str, Share]
    """By what changed: request, text, thinking, tools, end."""
    newly_blocked: int
    newly_allowed: int
    hold: Hold
    hold_recorded: Hold
    passed_over: int
    questions: list[Questions]
    chunks: int
    duration: int
    """Sum of the recorded durations of the calls that were compared, microseconds."""
    scored_by: str = ""
    """`score`, or `verdict` where no policy gave any; empty without labels."""
    by_call: Telling | None = None
    by_session: Telling | None = None
    changed: list[Case] = field(default_factory=list)
    """Worst first."""
    failed: list[Case] = field(default_factory=list)
    """Neither the same nor different: what could not be found out, in order."""
    holds: Holds = field(default_factory=dict)


def report_of(cases: Sequence[Case], prices: Mapping[str, tuple[float, float]] | None = None) -> Report:
    """Count. `prices` are USD a token, in and out, by model."""
    compared = [case for case in cases if case.compared]
    counted = Counter(case.outcome for case in cases)
    held, before = _added(case.held for case in compared), _added(case.held_before for case in compared)
    sessions = _sessions(cases)
    known = [[case for case in group if case.compared] for group in sessions]
    report = Report(
        len(cases),
        len(sessions),
        {outcome: counted[outcome] for outcome in OUTCOMES},
        _matrix(compared),
        Share(sum(case.changed for case in compared), len(compared)),
        Share(sum(any(case.changed for case in group) for group in known), sum(1 for group in known if group)),
        _turns(compared),
        sum(case.newly_blocked for case in compared),
        sum(case.newly_allowed for case in compared),
        _hold(held),
        _hold(before),
        sum(case.notes for case in compared),
        _questions(cases, prices or {}),
        sum(case.chunks for case in compared),
        sum(case.duration for case in compared),
        changed=worst_first(compared),
        failed=[case for case in cases if not case.compared and case.outcome != "not_compared"],
        holds=held,
    )
    _tell(report, cases, sessions)
    return report


def _matrix(cases: Iterable[Case]) -> dict[str, dict[str, int]]:
    counted: Counter[tuple[str, str]] = Counter((case.recorded, case.candidate) for case in cases)
    rows = [one for one in GRAVITY if any(counted[one, other] for other in GRAVITY)]
    columns = [other for other in GRAVITY if any(counted[one, other] for one in GRAVITY)]
    return {one: {other: counted[one, other] for other in columns} for one in rows}


def _turns(cases: Sequence[Case]) -> dict[str, Share]:
    kinds = {what: [what] for what in ("request", "text", "thinking", "end")}
    kinds["tools"] = ["tool_added", "tool_removed", "tool_changed"]
    return {
        name: Share(sum(any(what in case.what for what in kinds[name]) for case in cases), len(cases))
        for name in ("request", "text", "thinking", "tools", "end")
    }


def _sessions(cases: Iterable[Case]) -> list[list[Case]]:
    """Calls by session; one without is one of its own."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(case.session or f" {case.call_id}", []).append(case)
    return list(groups.values())


def _added(several: Iterable[Holds]) -> Holds:
    total: Counter[int] = Counter()
    for holds in several:
        total.update(holds)
    return dict(sorted(total.items()))


def _hold(held: Holds) -> Hold:
    return Hold(sum(held.values()), quantile(held, 0.5), quantile(held, 0.95), max(held, default=0))


def _questions(cases: Iterable[Case], prices: Mapping[str, tuple[float, float]]) -> list[Questions]:
    groups: dict[tuple[str, str], list[Asked]] = {}
    for case in cases:
        for asked in case.asked:
            groups.setdefault((asked.model, asked.why), []).append(asked)
    return [_asked(model, why, group, prices.get(model)) for (model, why), group in sorted(groups.items())]


def _asked(model: str, why: str, group: Sequence[Asked], price: tuple[float, float] | None) -> Questions:
    read, wrote = sum(asked.input_tokens for asked in group), sum(asked.output_tokens for asked in group)
    cost = None if price is None or not read + wrote else price[0] * read + price[1] * wrote
    return Questions(model, why, len(group), read, wrote, cost)


def _tell(report: Report, cases: Sequence[Case], sessions: Sequence[Sequence[Case]]) -> None:
    if not any(case.label for case in cases):
        return
    by_score = any(case.score is not None for case in cases)
    report.scored_by = "score" if by_score else "verdict"
    report.by_call = _telling([[case] for case in cases], by_score=by_score)
    report.by_session = _telling(sessions, by_score=by_score)


def _telling(groups: Iterable[Sequence[Case]], *, by_score: bool) -> Telling:
    scored = [_scored(group, by_score=by_score) for group in groups if any(case.label for case in group)]
    attacks = [one for one in scored if one.attack]
    benign = [one for one in scored if not one.attack]
    return Telling(
        len(attacks),
        len(benign),
        sum(one.score is None for one in attacks),
        sum(one.score is None for one in benign),
        figures(scored),
        tuple(sorted(one.score for one in attacks if one.score is not None)),
        tuple(sorted(one.score for one in benign if one.score is not None)),
    )


def _scored(group: Sequence[Case], *, by_score: bool) -> Scored:
    """The highest score of those that were compared; what was not compared has none."""
    known = [case for case in group if case.compared]
    blocked = gravest(case.candidate for case in known) in BLOCKED
    scores = [case.score if by_score else float(case.candidate in BLOCKED) for case in known]
    told = [score for score in scores if score is not None]
    attack = any(case.label == "attack" for case in group)
    return Scored(attack, max(told, default=None), blocked)
