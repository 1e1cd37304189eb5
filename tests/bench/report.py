"""The figures as people read them, and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator
from statistics import median
from typing import Any

from tests.bench.figures import Figures
from tests.bench.systems import System

COLUMNS = (
    ("chunks/s", "full rate", "{:,.0f}"),
    ("CPU us/chunk", "full cpu us", "{:.1f}"),
    ("at 20/s: CPU us", "paced cpu us", "{:.0f}"),
    ("late p50 ms", "paced late p50", "{:.2f}"),
    ("late p99 ms", "paced late p99", "{:.2f}"),
    ("TTFT p50 ms", "first first p50", "{:.2f}"),
    ("TTFT p99 ms", "first first p99", "{:.2f}"),
    ("requests/s", "whole rate", "{:,.0f}"),
    ("CPU us/request", "whole cpu us", "{:,.0f}"),
)
"""Title, figure, form. `full`: 64 streams as fast as possible; `late`: from the provider's stamp to the client."""


def lines(figures: Figures, systems: Iterable[System]) -> Iterator[str]:
    """The whole report; the last line is the ratios."""
    systems = tuple(systems)
    yield from (f"{one.name:12} {one.says}" for one in systems)
    yield ""
    yield f"{'':12}" + "".join(f"{title:>17}" for title, _, _ in COLUMNS)
    for system in systems:
        found = [(figures.rounds.get(system.name, {}).get(name, []), form) for _, name, form in COLUMNS]
        yield f"{system.name:12}" + "".join(f"{form.format(median(v)) if v else '-':>17}" for v, form in found)
        yield f"{'':12}" + "".join(f"{_spread(values, form):>17}" for values, form in found)
    yield "medians of the rounds, smallest..largest below"
    yield ""
    for system in systems:
        yield _quality(figures, system.name)
    yield ""
    for system in systems:
        yield _shares(figures, system.name)
    yield ""
    yield "; ".join(str(ratio) for ratio in figures.ratios())


def as_json(figures: Figures) -> dict[str, Any]:
    """Everything, for machines."""
    return {
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.system()},
        "rounds": figures.rounds,
        "memory": figures.memory,
        "answers": {name: {"all": all_of, "exact": exact} for name, (all_of, exact) in figures.answers.items()},
        "errors": {name: len(errors) for name, errors in figures.errors.items()},
        "ratios": [
            {"says": one.says, "value": one.value, "bound": one.bound, "reached": one.reached}
            for one in figures.ratios()
        ],
    }


def _spread(values: list[float], form: str) -> str:
    return f"{form.format(min(values))}..{form.format(max(values))}" if len(values) > 1 else ""


def _quality(figures: Figures, name: str) -> str:
    answers, exact = figures.answers.get(name, (0, 0))
    errors = figures.errors.get(name, [])
    resident = ", ".join(f"{role} {size / 1e6:.0f} MB" for role, size in sorted(figures.memory.get(name, {}).items()))
    first = f" (first: {errors[0]})" if errors else ""
    return f"{name:12} {answers} answers, {exact} byte-exact, {len(errors)} errors{first}; {resident or 'no process'}"


def _shares(figures: Figures, name: str) -> str:
    loads = (("as fast as possible", "full cpu us"), ("at 20/s", "paced cpu us"), ("a request", "whole cpu us"))
    found = ((title, figures.by_role(name, key)) for title, key in loads)
    shares = (
        f"{title}: {', '.join(f'{role} {us:.1f}' for role, us in roles.items())}" for title, roles in found if roles
    )
    return f"{name:12} CPU us; " + ("; ".join(shares) or "none")
