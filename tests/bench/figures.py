"""The figures of all rounds, and the ratios that the pipeline is held to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import median, quantiles

from msgspec import Struct, field

from tests.bench.load import Load, Sample

FULL = Load("full", "text-300+timed", streams=64, seconds=4)
PACED = Load("paced", "text-80@20+timed", streams=64, times=1, spread_s=0.5)
FIRST = Load("first", "text-1+timed", streams=1, times=40)
WHOLE = Load("whole", "text-20", streams=16, seconds=2, streamed=False)
LOADS = (FULL, PACED, FIRST, WHOLE)


class Ratio(Struct, frozen=True):
    """One line of what is to be reached. `value` is None where a system was not there."""

    says: str
    value: float | None
    unit: str
    bound: float
    at_least: bool = False

    @property
    def reached(self) -> bool | None:
        """Whether the bound holds."""
        if self.value is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:.2f}{self.unit}"
        mark = {True: "", False: " MISSED", None: ""}[self.reached]
        return f"{self.says} {value} ({'>=' if self.at_least else '<='} {self.bound:g}{self.unit}){mark}"


class Figures(Struct):
    """What was measured: system to figure to one value a round."""

    rounds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    errors: dict[str, list[str]] = field(default_factory=dict)
    answers: dict[str, tuple[int, int]] = field(default_factory=dict)
    """System to (answers, of those byte for byte what the provider sent)."""
    memory: dict[str, dict[str, int]] = field(default_factory=dict)
    """System to role to resident bytes."""

    def add(self, system: str, load: Load, sample: Sample, cpu_s: Mapping[str, float]) -> None:
        """Take in one sample; `cpu_s` is what the processes of the system used meanwhile, by role."""
        figures = self.rounds.setdefault(system, {})
        for name, value in _values(sample, cpu_s):
            figures.setdefault(f"{load.name} {name}", []).append(value)
        self.errors.setdefault(system, []).extend(sample.errors)
        answers, exact = self.answers.get(system, (0, 0))
        self.answers[system] = (answers + sample.requests, exact + sample.exact)

    def middle(self, system: str, name: str) -> float | None:
        """The median over the rounds."""
        values = self.rounds.get(system, {}).get(name)
        return median(values) if values else None

    def added(self, system: str, name: str) -> float | None:
        """The median over the rounds of what a system adds to no proxy in the same round."""
        own, without = (self.rounds.get(one, {}).get(name, []) for one in (system, "direct"))
        return median(a - b for a, b in zip(own, without, strict=True)) if own and without else None

    def by_role(self, system: str, name: str) -> dict[str, float]:
        """The medians of a figure that is kept by role, the largest first."""
        found = {key.removeprefix(f"{name} "): key for key in self.rounds.get(system, {}) if key.startswith(f"{name} ")}
        middles = {role: self.middle(system, key) or 0.0 for role, key in found.items()}
        return dict(sorted(middles.items(), key=lambda item: -item[1]))

    def over(self, system: str, other: str, name: str) -> float | None:
        """One system's median as a multiple of another's."""
        one, base = self.middle(system, name), self.middle(other, name)
        return one / base if one is not None and base else None

    def ratios(self) -> list[Ratio]:
        """What the pipeline is held to."""
        edge, worker = (self.memory.get("policy", {}).get(role) for role in ("edge", "worker"))
        return [
            Ratio("chunks/s over LiteLLM", self.over("policy", "litellm", "full rate"), "x", 20, at_least=True),
            Ratio("CPU/chunk over pass-through", self.over("policy", "passthrough", "full cpu us"), "x", 3),
            Ratio("with record", self.over("record", "passthrough", "full cpu us"), "x", 4.5),
            Ratio("added TTFT p50", self.added("policy", "first first p50"), " ms", 3),
            Ratio("added chunk latency p50", self.added("policy", "paced late p50"), " ms", 1.5),
            Ratio("paced CPU over LiteLLM", self.over("policy", "litellm", "paced cpu us"), "x", 0.5),
            Ratio("requests/s over LiteLLM", self.over("policy", "litellm", "whole rate"), "x", 5, at_least=True),
            Ratio("CPU/chunk of another format", self.over("converted", "relay", "full cpu us"), "x", 2),
            Ratio("chunk latency with litellm beside", self.over("beside", "relay", "paced late p50"), "x", 1.5),
            Ratio("chunk p99 with a slow watcher beside", self.over("shadow", "policy", "paced late p99"), "x", 1.5),
            Ratio("edge", edge / 1e6 if edge else None, " MB", 80),
            Ratio("worker", worker / 1e6 if worker else None, " MB", 80),
        ]


def _values(sample: Sample, cpu_s: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    chunks = max(1, sample.chunks)
    yield "rate", sample.chunks / sample.seconds
    yield "cpu us", sum(cpu_s.values()) * 1e6 / chunks
    yield from ((f"cpu us {role}", seconds * 1e6 / chunks) for role, seconds in cpu_s.items())
    for name, values in (("first", sample.first), ("late", sample.late)):
        if len(values) > 1:
            yield f"{name} p50", median(values) / 1e6
            yield f"{name} p99", quantiles(values, n=100)[98] / 1e6
