"""What a backtest must hold to let a change through, as a build server asks it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from luthien_stream.errors import ConfigError
from luthien_stream.replay.backtest import Report, Telling
from luthien_stream.replay.metrics import recall
from luthien_stream.replay.result import EXIT

_UNKNOWN = ("nondeterministic", "missing_effect", "incomplete", "not_installed")


class BadGate(ConfigError):
    """A gate is not written as it must be."""


class Limit(Struct, frozen=True):
    """At most so many, or such a share."""

    most: float
    is_share: bool


class RecallGate(Struct, frozen=True):
    """At least this recall at this rate of false positives."""

    least: float
    rate: float


class Gates(Struct, frozen=True):
    """All that were asked for."""

    max_changed: Limit | None = None
    max_new_blocks: int | None = None
    recalls: Sequence[RecallGate] = ()
    allow_missing: bool = False


def limit(text: str) -> Limit:
    """Read `0.5%` or `12`. Raises `BadGate`."""
    number = text.removesuffix("%")
    value = _number(number, text, "0.5% of the calls, or a number of calls as 12")
    if text.endswith("%"):
        return Limit(_within(value / 100, text), True)
    if value != int(value):
        raise BadGate(f"{text!r} is no number of calls: write 12, or a share as 0.5%")
    return Limit(value, False)


def recall_gate(text: str) -> RecallGate:
    """Read `0.8@1%`. Raises `BadGate`."""
    least, at, rate = text.partition("@")
    if not at or not rate.endswith("%"):
        raise BadGate(f"{text!r} is no gate: write 0.8@1%, a recall of at least 0.8 at 1 % false positives")
    wanted = "0.8@1%"
    return RecallGate(
        _within(_number(least, text, wanted), text), _within(_number(rate[:-1], text, wanted) / 100, text)
    )


def problems(report: Report, gates: Gates) -> list[str]:
    """What does not hold, and by how much, a sentence each."""
    return [*_changes(report, gates), *(found for gate in gates.recalls for found in _recalls(report, gate, gates))]


def exit_code(report: Report, found: Sequence[str], gates: Gates) -> int:
    """The greatest of: 1 a gate fails, 3 nondeterminism, 4 missing effects, 5 incomplete; 0 if all holds."""
    codes = [1] if found else []
    for status in ("nondeterministic", "missing_effect", "incomplete"):
        allowed = gates.allow_missing and status != "nondeterministic"
        if report.outcomes.get(status) and not allowed:
            codes.append(EXIT[status])
    return max(codes, default=0)


def unknown(report: Report) -> int:
    """How many calls could not be decided on."""
    return sum(report.outcomes.get(status, 0) for status in _UNKNOWN)


def _changes(report: Report, gates: Gates) -> Iterator[str]:
    changed, most = report.changed_calls, gates.max_changed
    if most is not None and most.is_share and changed.share > most.most:
        yield (
            f"{changed.count} of {changed.of} calls change ({changed.share:.2%}): "
            f"{(changed.share - most.most) * 100:.2f} points above the {most.most:.2%} of --max-changed"
        )
    if most is not None and not most.is_share and changed.count > most.most:
        over = changed.count - int(most.most)
        yield f"{changed.count} calls change: {over} above the {int(most.most)} of --max-changed"
    if gates.max_new_blocks is not None and report.newly_blocked > gates.max_new_blocks:
        over = report.newly_blocked - gates.max_new_blocks
        most_blocks = f"{over} above the {gates.max_new_blocks} of --max-new-blocks"
        yield f"{report.newly_blocked} calls are newly blocked: {most_blocks}"


def _recalls(report: Report, gate: RecallGate, gates: Gates) -> Iterator[str]:
    name = f"--min-recall-at-fpr {gate.least:g}@{gate.rate * 100:g}%"
    telling = report.by_call
    value = None if telling is None else recall(telling.scores_attack, telling.scores_benign, gate.rate)
    if value is None:
        yield f"{name} cannot be told: it needs scored calls with the label attack, and with the label benign"
    elif value < gate.least:
        yield f"Recall at {gate.rate * 100:g}% false positives is {value:.3f}: {gate.least - value:.3f} below {name}"
    if telling is not None and not gates.allow_missing and (lacking := _unscored(telling)):
        yield f"{lacking} labelled calls have no score, so {name} is not known to hold: see --allow-missing"


def _unscored(telling: Telling) -> int:
    return telling.unscored_attacks + telling.unscored_benign


def _number(text: str, whole: str, wanted: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise BadGate(f"{whole!r} is no gate: write {wanted}")
    return value


def _within(value: float, text: str) -> float:
    if value > 1:
        raise BadGate(f"{text!r} is above 1, or 100 %")
    return value
