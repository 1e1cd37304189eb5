"""Plots as inline SVG: small, without a script, in the page's own colours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import log

WIDTH, HEIGHT, EDGE = 420, 240, 40


def curve(points: Sequence[tuple[float, float]], x: str, y: str, *, diagonal: bool = False) -> str:
    """Points in the unit square joined by a line; `x` and `y` name the axes (plain text of ours)."""
    line = " ".join(f"{_x(a):.1f},{_y(b):.1f}" for a, b in points)
    extra = f'<line class="faint" x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"/>' if diagonal else ""
    ticks = "".join(_tick(share / 4) for share in range(5))
    return _svg(f'{ticks}{extra}<polyline class="line" points="{line}"/>{_axes(x, y)}')


def bars(groups: Mapping[str, Sequence[float]], x: str, bins: int = 20) -> str:
    """A histogram of scores from 0 to 1 for each group, side by side; each group's bars add up to 1."""
    counted = {name: _counted(values, bins) for name, values in groups.items() if values}
    tallest = max((share for shares in counted.values() for share in shares), default=1.0) or 1.0
    wide = (WIDTH - 2 * EDGE) / bins / max(1, len(counted))
    parts: list[str] = []
    for place, (name, shares) in enumerate(counted.items()):
        for number, share in enumerate(shares):
            left = EDGE + (number * len(counted) + place) * wide
            high = (HEIGHT - 2 * EDGE) * share / tallest
            parts.append(
                f'<rect class="{name}" x="{left:.1f}" y="{HEIGHT - EDGE - high:.1f}" '
                f'width="{wide * 0.9:.1f}" height="{high:.1f}"/>'
            )
    ticks = "".join(_tick(share / 4) for share in range(5))
    return _svg(ticks + "".join(parts) + _axes(x, "share"))


def steps(counted: Mapping[int, int], x: str) -> str:
    """The share of values up to each, over a logarithmic axis from 1 on (values in microseconds)."""
    total = sum(counted.values())
    most = max([*counted, 1000])
    seen, points = 0, [(0.0, 0.0)]
    for value, count in sorted(counted.items()):
        at = _log(value, most)
        points.append((at, seen / total))
        seen += count
        points.append((at, seen / total))
    points.append((1.0, 1.0))
    return curve(points, f"{x} (to {most / 1000:g} ms, logarithmic)", "share of frames")


def _log(value: int, most: int) -> float:
    return log(1 + value) / log(1 + most)


def _counted(values: Iterable[float], bins: int) -> list[float]:
    found = list(values)
    counts = [0] * bins
    for value in found:
        counts[min(bins - 1, max(0, int(value * bins)))] += 1
    return [count / len(found) for count in counts]


def _x(share: float) -> float:
    return EDGE + share * (WIDTH - 2 * EDGE)


def _y(share: float) -> float:
    return HEIGHT - EDGE - share * (HEIGHT - 2 * EDGE)


def _tick(share: float) -> str:
    return f'<text x="{_x(share):.1f}" y="{HEIGHT - EDGE + 14}" text-anchor="middle">{share:g}</text>'


def _axes(x: str, y: str) -> str:
    return (
        f'<line class="axis" x1="{EDGE}" y1="{_y(0)}" x2="{WIDTH - EDGE}" y2="{_y(0)}"/>'
        f'<line class="axis" x1="{EDGE}" y1="{_y(0)}" x2="{EDGE}" y2="{_y(1)}"/>'
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">{x}</text>'
        f'<text x="{EDGE}" y="{EDGE - 8}">{y}</text>'
    )


def _svg(inner: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{inner}</svg>'
