"""What a backtest keeps of one call: small, without frames, so that thousands fit and cross a process boundary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile

from msgspec import Struct

from luthien_stream.replay.result import GRAVITY, Asked, Change, Comparison, Status, Verdict

BLOCKED = frozenset({"deny", "stop", "failed"})
"""Verdicts after which the client did not get what was said."""
EXCERPT = 240
"""Characters of a change that are kept, around the first place that differs."""
MOST_CHANGES = 4
_LEAD = 40
Outcome = Status
Holds = dict[int, int]
"""How often a frame was held so long: microseconds, rounded up to two digits."""


class Case(Struct, frozen=True):
    """One call under the candidate. `score` is the candidate's highest, None if it gave none."""

    call_id: str
    outcome: Outcome
    why: str = ""
    session: str = ""
    model: str = ""
    label: str = ""
    recorded: Verdict = "allow"
    candidate: Verdict = "allow"
    score: float | None = None
    changes: tuple[Change, ...] = ()
    """Excerpts; of what kind the first `MOST_CHANGES` are."""
    what: tuple[str, ...] = ()
    """All kinds of changes, each once."""
    held: Holds = {}
    held_before: Holds = {}
    asked: tuple[Asked, ...] = ()
    notes: int = 0
    """Effects that were not on record and were passed over."""
    chunks: int = 0
    duration: int = 0

    @property
    def compared(self) -> bool:
        """Whether it is known what the candidate does to the call."""
        return self.outcome in ("same", "differs")

    @property
    def changed(self) -> bool:
        """Whether something else would have been sent, to the provider or to the client."""
        return self.outcome == "differs"

    @property
    def newly_blocked(self) -> bool:
        """The candidate blocks what was delivered."""
        return self.compared and self.candidate in BLOCKED and self.recorded not in BLOCKED

    @property
    def newly_allowed(self) -> bool:
        """The candidate delivers what was blocked."""
        return self.compared and self.recorded in BLOCKED and self.candidate not in BLOCKED


def case_of(comparison: Comparison) -> Case:
    """Keep what a backtest counts."""
    told = [change for change in comparison.changes if change.what != "events"]
    return Case(
        comparison.call_id,
        comparison.status,
        comparison.why,
        comparison.session,
        comparison.model,
        comparison.label,
        comparison.recorded.verdict,
        comparison.candidate.verdict,
        comparison.candidate.score,
        tuple(excerpt(change) for change in told[:MOST_CHANGES]),
        tuple(dict.fromkeys(change.what for change in told)),
        holds(comparison.candidate.held),
        holds(comparison.recorded.held),
        tuple(comparison.asked),
        len(comparison.notes),
        comparison.chunks,
        comparison.duration,
    )


def not_compared(call_id: str, session: str, after: str) -> Case:
    """A call of a session that would have gone on otherwise. `after` is the call from which on."""
    return Case(call_id, "not_compared", f"The session is not the recorded one after {after}", session)


def worst_first(cases: Iterable[Case]) -> list[Case]:
    """The changed calls: newly delivered, newly blocked, tools, text, the rest; else in their order."""
    return sorted((case for case in cases if case.changed), key=gravity)


def gravity(case: Case) -> int:
    """How bad a change is, 0 the worst."""
    if case.newly_allowed:
        return 0
    if case.newly_blocked:
        return 1
    if any(what.startswith("tool") for what in case.what):
        return 2
    for place, what in enumerate(("text", "end", "request", "thinking"), 3):
        if what in case.what:
            return place
    return 9


def gravest(verdicts: Iterable[Verdict]) -> Verdict:
    """The gravest of several."""
    return max(verdicts, key=GRAVITY.index, default="allow")


def holds(held: Sequence[int]) -> Holds:
    """Count times in microseconds, each rounded up to two digits."""
    counted: Holds = {}
    for time in held:
        rounded = time if time < 100 else _rounded(time)
        counted[rounded] = counted.get(rounded, 0) + 1
    return counted


def excerpt(change: Change) -> Change:
    """The change with so much of both texts that one sees what differs."""
    before, after = change.before, change.after
    if len(before) <= EXCERPT and len(after) <= EXCERPT:
        return change
    start = max(0, same_head(before, after) - _LEAD)
    return Change(change.what, _part(before, start), _part(after, start), change.by)


def same_head(before: str, after: str) -> int:
    """How many characters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))


def _part(text: str, start: int) -> str:
    part = text[start : start + EXCERPT]
    return ("…" if start else "") + part + ("…" if start + EXCERPT < len(text) else "")


def _rounded(time: int) -> int:
    unit: int = 10 ** (len(str(time)) - 2)
    return -(-time // unit) * unit
