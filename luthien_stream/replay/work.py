"""The calls of a backtest through its candidate, one session after the other: what one process does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

from msgspec import Struct
from msgspec.structs import replace

from luthien_stream.record.lanes import Record
from luthien_stream.replay.again import Candidate, Folds, Options, compare
from luthien_stream.replay.case import Case, case_of, not_compared
from luthien_stream.replay.result import Comparison

ALWAYS = 50
"""So many calls at the beginning are run twice."""
EVERY = 20
"""Of the others each so manieth, and each that changes."""
Item = str | Record
"""A call: its id in the record, or all of it."""


class Recall(Protocol):
    """Reads calls, in the order of their ids."""

    def __call__(self, items: Sequence[Item]) -> Iterable[Record]: ...
    def close(self) -> None:
        """Let go of what it reads from."""


class Unit(Struct, frozen=True):
    """Calls that belong together: those of a session in order, or a single one. `first` is the place of the first."""

    first: int
    session: str
    items: tuple[Item, ...]


class Trial(Struct, frozen=True):
    """What is tried, and how."""

    candidate: Candidate
    options: Options
    twice: Literal["some", "all", "none"] = "some"


def run_unit(unit: Unit, records: Iterable[Record], trial: Trial) -> list[Case]:
    """Compare the calls of a unit, up to the first that differs or cannot be compared."""
    folds = Folds()
    cases: list[Case] = []
    stopped = ""
    for place, record in enumerate(records, unit.first):
        if stopped:
            cases.append(replace(not_compared(record.call_id, unit.session, stopped), label=record.label))
            continue
        comparison = _compare(record, trial, place, folds)
        cases.append(case_of(comparison))
        if unit.session and comparison.status != "same":
            stopped = record.call_id
    return cases


def _compare(record: Record, trial: Trial, place: int, folds: Folds) -> Comparison:
    some = trial.twice == "some"
    always = trial.twice == "all" or (some and (place < ALWAYS or place % EVERY == 0))
    options = replace(trial.options, twice=always, twice_if_changed=some)
    return compare(record, trial.candidate, options, folds)
