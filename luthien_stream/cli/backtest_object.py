"""A backtest as one JSON object; docs/backtest.md names its fields."""

from __future__ import annotations

from typing import Any

from luthien_stream.replay.backtest import Hold, Report, Share, Telling
from luthien_stream.replay.case import Case


def as_object(report: Report, failed: list[str], code: int) -> dict[str, Any]:
    """The whole report. Times are milliseconds."""
    return {
        "calls": report.calls,
        "sessions": report.sessions,
        "outcomes": report.outcomes,
        "matrix": report.matrix,
        "changed": {"calls": _share(report.changed_calls), "sessions": _share(report.changed_sessions)}
        | {name: _share(one) for name, one in report.changed_turns.items()},
        "newly_blocked": report.newly_blocked,
        "newly_delivered": report.newly_allowed,
        "hold_ms": {"candidate": _hold(report.hold), "recorded": _hold(report.hold_recorded)},
        "passed_over": report.passed_over,
        "questions": report.questions,
        "chunks": report.chunks,
        "duration_ms": report.duration / 1000,
        "scored_by": report.scored_by,
        "by_call": _telling(report.by_call),
        "by_session": _telling(report.by_session),
        "changed_calls": [_case(case) for case in report.changed],
        "not_known": [_case(case) for case in report.failed],
        "gates_failed": failed,
        "exit": code,
    }


def _share(one: Share) -> dict[str, Any]:
    return {"count": one.count, "of": one.of, "share": one.share}


def _hold(one: Hold) -> dict[str, Any]:
    return {"frames": one.frames, "p50": one.p50 / 1000, "p95": one.p95 / 1000, "max": one.max / 1000}


def _telling(one: Telling | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "attacks": one.attacks,
        "benign": one.benign,
        "unscored": {"attack": one.unscored_attacks, "benign": one.unscored_benign},
        "figures": one.figures,
    }


def _case(case: Case) -> dict[str, Any]:
    return {
        "call": case.call_id,
        "session": case.session,
        "model": case.model,
        "label": case.label,
        "outcome": case.outcome,
        "why": case.why,
        "recorded": case.recorded,
        "candidate": case.candidate,
        "score": case.score,
        "what": case.what,
        "changes": case.changes,
    }
