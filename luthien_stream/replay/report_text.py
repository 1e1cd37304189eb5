"""A backtest in words: the same backtest gives the same text, so that two can be compared with `diff`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from luthien_stream.replay.backtest import Hold, Questions, Report, Share, Telling
from luthien_stream.replay.bootstrap import Figure
from luthien_stream.replay.case import Case

SHOWN = 20
"""Changed calls that are listed; all are in `--json`."""
_LABELS = {
    "same": "the same",
    "differs": "changed",
    "nondeterministic": "nondeterministic",
    "missing_effect": "missing an effect",
    "incomplete": "incomplete on record",
    "not_installed": "not installed",
    "not_compared": "not compared",
}
Command = Callable[[str], str]
"""The command that opens a call."""
Clean = Callable[[str], str]
"""Takes control characters out of text from outside."""


def text_of(report: Report, opens: Command, clean: Clean, shown: int = SHOWN) -> Iterator[str]:
    """The lines of the report."""
    yield f"{_many(report.calls, 'call')} of {_many(report.sessions, 'session')}"
    for name, count in report.outcomes.items():
        if count or name in ("same", "differs"):
            yield f"  {count:>7}  {_LABELS[name]}{_remark(name)}"
    yield from _matrix(report.matrix)
    yield from _changes(report)
    yield from _holds(report)
    yield from _questions(report)
    yield from _labels(report)
    yield from _listed("changed calls, worst first", report.changed, opens, clean, shown)
    yield from _listed("calls that could not be compared", report.failed, opens, clean, shown)


def headline(case: Case) -> str:
    """What becomes of a changed call, in few words."""
    if case.newly_allowed:
        return f"newly delivered ({case.recorded} -> {case.candidate})"
    if case.newly_blocked:
        return f"newly blocked ({case.recorded} -> {case.candidate})"
    verdict = case.candidate if case.candidate == case.recorded else f"{case.recorded} -> {case.candidate}"
    return f"{', '.join(case.what).replace('_', ' ')} ({verdict})"


def figure(one: Figure) -> str:
    """A figure with its interval."""
    if one.value is None:
        return "-"
    bounds = "" if one.low is None or one.high is None else f"  [{one.low:.3f}, {one.high:.3f}]"
    return f"{one.value:.3f}{bounds}"


def share(one: Share) -> str:
    """`12 of 400 (3.00%)`."""
    return f"{one.count} of {one.of} ({one.share:.2%})"


def milliseconds(hold: Hold) -> str:
    """The three times of a hold."""
    return "  ".join(
        f"{name} {time / 1000:g} ms" for name, time in (("p50", hold.p50), ("p95", hold.p95), ("max", hold.max))
    )


def _matrix(matrix: dict[str, dict[str, int]]) -> Iterator[str]:
    if not matrix:
        return
    columns = list(next(iter(matrix.values())))
    yield ""
    yield "verdicts: recorded (down) x candidate (across)"
    yield "  " + " " * 8 + "".join(f"{column:>9}" for column in columns)
    for row, counts in matrix.items():
        yield f"  {row:<8}" + "".join(f"{counts[column] or '.':>9}" for column in columns)


def _changes(report: Report) -> Iterator[str]:
    yield ""
    yield "changed, of those that were compared"
    yield f"  calls     {share(report.changed_calls)}"
    yield f"  sessions  {share(report.changed_sessions)}"
    for name, one in report.changed_turns.items():
        yield f"  {name:<9} {share(one)}"
    yield f"  newly blocked {report.newly_blocked}, newly delivered {report.newly_allowed}"


def _holds(report: Report) -> Iterator[str]:
    yield ""
    yield "held after arrival, each frame, on the recorded clock"
    yield f"  candidate {milliseconds(report.hold)}"
    yield f"  recorded  {milliseconds(report.hold_recorded)}"


def _questions(report: Report) -> Iterator[str]:
    if report.questions or report.passed_over:
        yield ""
        yield "questions to models"
    yield from (f"  {_asked(one)}" for one in report.questions)
    if report.passed_over:
        yield f"  {report.passed_over} effects were not on record and failed as `unavailable` (--on-miss skip)"


def _asked(one: Questions) -> str:
    cost = "price unknown" if one.cost is None else f"{one.cost:.4f} USD"
    return f"{one.model} ({one.why}): {one.count}, {one.input_tokens} tokens in, {one.output_tokens} out, {cost}"


def _labels(report: Report) -> Iterator[str]:
    for name, telling in (("call", report.by_call), ("session", report.by_session)):
        if telling is not None:
            yield from _told(name, telling, report.scored_by)


def _told(name: str, telling: Telling, by: str) -> Iterator[str]:
    yield ""
    yield f"labelled, per {name}: {telling.attacks} attack, {telling.benign} benign; told apart by {by}"
    if telling.unscored_attacks or telling.unscored_benign:
        yield f"  unscored, and in no figure: {telling.unscored_attacks} attack, {telling.unscored_benign} benign"
    for key, one in telling.figures.items():
        yield f"  {key:<12} {figure(one)}"


def _listed(title: str, cases: Sequence[Case], opens: Command, clean: Clean, shown: int) -> Iterator[str]:
    if not cases:
        return
    yield ""
    yield f"{title} ({min(shown, len(cases))} of {len(cases)})"
    for case in cases[:shown]:
        label = f"  [{clean(case.label)}]" if case.label else ""
        yield f"  {headline(case) if case.changed else _LABELS[case.outcome]}{label}"
        if not case.changed:
            yield f"      {clean(case.why)}"
        for change in case.changes[:1] if case.changed else ():
            yield f"      - {_short(clean(change.before))}"
            yield f"      + {_short(clean(change.after))}"
        yield f"      {opens(case.call_id)}"


def _short(text: str, width: int = 110) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _remark(name: str) -> str:
    return ": their session went another way before" if name == "not_compared" else ""


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
