"""A backtest as one page: no script, nothing from elsewhere, all text from outside escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

from luthien_stream.record.words import diff
from luthien_stream.replay.backtest import Report, Telling
from luthien_stream.replay.case import Case
from luthien_stream.replay.metrics import roc
from luthien_stream.replay.plots import bars, curve, steps
from luthien_stream.replay.report_text import Command, figure, headline, milliseconds, share
from luthien_stream.replay.result import Change

SHOWN = 200
"""Changed calls that stand in the page."""
_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --paper: #fff; --line: #ccc;
  --red: #b3261e; --green: #1b7f3b; --blue: #2457c5; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #161616; --line: #444; --red: #ff8a80; --green: #7ddc9a; --blue: #8ab4ff; }
}
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1rem; }
td, th { border: 1px solid var(--line); padding: .2rem .6rem; text-align: right; }
th { font-weight: 600; } td.left, th.left { text-align: left; }
.off { background: color-mix(in srgb, var(--red) 18%, transparent); }
svg { width: 26rem; max-width: 100%; } svg text { font-size: 11px; fill: var(--ink); }
.axis { stroke: var(--ink); } .faint { stroke: var(--line); stroke-dasharray: 4; }
.line { fill: none; stroke: var(--blue); stroke-width: 2; }
rect.attack { fill: var(--red); } rect.benign { fill: var(--green); }
del { color: var(--red); } ins { color: var(--green); text-decoration: none; }
code { font-size: 13px; overflow-wrap: anywhere; } pre { white-space: pre-wrap; overflow-wrap: anywhere; }
details { border-top: 1px solid var(--line); padding: .3rem 0; } .plots { display: flex; flex-wrap: wrap; gap: 1rem; }
"""
_STYLE = "\n".join(line for line in _STYLE.split("\n") if line)


def page(report: Report, title: str, opens: Command) -> str:
    """Return the page."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f"<p>{report.calls} calls of {report.sessions} sessions</p>",
        _table(["outcome", "calls"], ([name.replace("_", " "), str(n)] for name, n in report.outcomes.items() if n)),
        "<h2>Verdicts: recorded (down), candidate (across)</h2>",
        _matrix(report.matrix),
        "<h2>Changed, of those that were compared</h2>",
        _table(["", "changed"], _changes(report)),
        "<h2>Held after arrival, each frame</h2>",
        f"<p>candidate: {milliseconds(report.hold)}<br>recorded: {milliseconds(report.hold_recorded)}</p>",
        steps(report.holds, "held") if report.holds else "",
        *_questions(report),
        *_tellings(report),
        *_cases("Changed calls, worst first", report.changed, opens),
        *_cases("Calls that could not be compared", report.failed, opens),
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    made = "".join(f"<tr><td class='left'>{escape(row[0])}</td>{_cells(row[1:])}</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{escape(one)}</th>' for one in head)}</tr>{made}</table>"


def _cells(values: Sequence[str]) -> str:
    return "".join(f"<td>{escape(value)}</td>" for value in values)


def _matrix(matrix: Mapping[str, Mapping[str, int]]) -> str:
    if not matrix:
        return "<p>No call was compared.</p>"
    columns = list(next(iter(matrix.values())))
    rows = []
    for row, counts in matrix.items():
        cells = "".join(
            f"<td{' class=off' if row != column and counts[column] else ''}>{counts[column] or ''}</td>"
            for column in columns
        )
        rows.append(f"<tr><th class='left'>{row}</th>{cells}</tr>")
    head = "".join(f"<th>{column}</th>" for column in columns)
    return f"<table><tr><th></th>{head}</tr>{''.join(rows)}</table>"


def _changes(report: Report) -> Iterator[list[str]]:
    yield ["calls", share(report.changed_calls)]
    yield ["sessions", share(report.changed_sessions)]
    for name, one in report.changed_turns.items():
        yield [name, share(one)]
    yield ["newly blocked", str(report.newly_blocked)]
    yield ["newly delivered", str(report.newly_allowed)]


def _questions(report: Report) -> Iterator[str]:
    if not report.questions:
        return
    yield "<h2>Questions to models</h2>"
    rows = (
        [
            f"{one.model} ({one.why})",
            str(one.count),
            str(one.input_tokens),
            str(one.output_tokens),
            "unknown" if one.cost is None else f"{one.cost:.4f} USD",
        ]
        for one in report.questions
    )
    yield _table(["model", "asked", "tokens in", "tokens out", "cost"], rows)


def _tellings(report: Report) -> Iterator[str]:
    for name, telling in (("call", report.by_call), ("session", report.by_session)):
        if telling is not None:
            yield from _telling(name, telling, report.scored_by)


def _telling(name: str, telling: Telling, by: str) -> Iterator[str]:
    yield f"<h2>Labelled, per {name}: {telling.attacks} attack, {telling.benign} benign; told apart by {by}</h2>"
    unscored = telling.unscored_attacks + telling.unscored_benign
    if unscored:
        yield f"<p>{unscored} have no score and stand in no figure.</p>"
    yield _table(["", "value [95 %]"], ([key, figure(one)] for key, one in telling.figures.items()))
    points = roc(telling.scores_attack, telling.scores_benign)
    if points:
        plots = curve(points, "false positives", "recall", diagonal=True)
        plots += bars({"attack": telling.scores_attack, "benign": telling.scores_benign}, "score")
        yield f"<div class='plots'>{plots}</div><p>red: attack, green: benign</p>"


def _cases(title: str, cases: Sequence[Case], opens: Command) -> Iterator[str]:
    if not cases:
        return
    yield f"<h2>{title} ({min(SHOWN, len(cases))} of {len(cases)})</h2>"
    for case in cases[:SHOWN]:
        said = headline(case) if case.changed else f"{case.outcome.replace('_', ' ')}: {case.why}"
        label = f" [{case.label}]" if case.label else ""
        head = escape(f"{case.call_id}  {said}{label}")
        inner = "".join(_change(change) for change in case.changes)
        yield f"<details><summary>{head}</summary>{inner}<p><code>{escape(opens(case.call_id))}</code></p></details>"


def _change(change: Change) -> str:
    by = f" by {change.by}" if change.by else ""
    spans = diff(change.before, change.after)
    text = "".join(
        escape(span.text)
        if span.kind == "same"
        else f"<del>{escape(span.text)}</del>"
        if span.kind == "removed"
        else f"<ins>{escape(span.text)}</ins>"
        for span in spans
    )
    return f"<p>{escape(change.what.replace('_', ' ') + by)}</p><pre>{text}</pre>"
