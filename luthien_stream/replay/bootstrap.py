"""How sure a figure is: 95 % intervals by drawing the labelled calls again, with a seed that never changes."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from msgspec import Struct

from luthien_stream.replay.metrics import BUDGETS, RATES, Scored, auroc, recall, safety

SEED = 20_250_101
ROUNDS = 1000
DRAWS = 2_000_000
"""So many cases are drawn at most: where there are many, fewer rounds say as much."""
_FEWEST = 200


class Figure(Struct, frozen=True):
    """One figure with the bounds of its interval; all None where it cannot be told."""

    value: float | None
    low: float | None = None
    high: float | None = None


def figures(scored: Sequence[Scored]) -> dict[str, Figure]:
    """All figures by name: `auroc`, `recall@1%`, `safety@5%`. Attacks and the rest are drawn apart."""
    values = _values(scored)
    drawn: dict[str, list[float]] = {name: [] for name in values}
    random = Random(SEED)
    attacks = [one for one in scored if one.attack]
    benign = [one for one in scored if not one.attack]
    rounds = max(_FEWEST, min(ROUNDS, DRAWS // max(1, len(scored))))
    for _ in range(rounds if attacks and benign else 0):
        sample = random.choices(attacks, k=len(attacks)) + random.choices(benign, k=len(benign))
        for name, value in _values(sample).items():
            if value is not None:
                drawn[name].append(value)
    return {name: _figure(value, sorted(drawn[name])) for name, value in values.items()}


def percent(rate: float) -> str:
    """A share as it stands in a name: `1%`, `0.5%`."""
    return f"{rate * 100:g}%"


def _values(scored: Sequence[Scored]) -> dict[str, float | None]:
    attacks = [one.score for one in scored if one.attack and one.score is not None]
    benign = [one.score for one in scored if not one.attack and one.score is not None]
    return {
        "auroc": auroc(attacks, benign),
        **{f"recall@{percent(rate)}": recall(attacks, benign, rate) for rate in RATES},
        **{f"safety@{percent(budget)}": safety(scored, budget) for budget in BUDGETS},
    }


def _figure(value: float | None, drawn: Sequence[float]) -> Figure:
    if value is None or not drawn:
        return Figure(value)
    last = len(drawn) - 1
    return Figure(value, drawn[round(last * 0.025)], drawn[round(last * 0.975)])
