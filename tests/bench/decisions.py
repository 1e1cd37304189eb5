"""What a gate's decision costs: `shell_guard` over the table of commands that its test has."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import msgspec

from luthien_stream.policy import ToolCall
from luthien_stream.policy.catalogue import find

CASES = Path(__file__).parents[1] / "unit" / "workers" / "shell_cases.jsonl"


def shell_guard_us(rounds: int = 3) -> float:
    """CPU of one decision, µs: the median of the rounds' means."""
    gate: Any = find("shell_guard")()
    cases = [msgspec.json.decode(line) for line in CASES.read_bytes().splitlines()]
    calls = [ToolCall("1", case["tool"], msgspec.json.encode(case["args"]).decode()) for case in cases]
    return median(_round(gate, calls) for _ in range(rounds))


def _round(gate: Any, calls: list[ToolCall]) -> float:
    begun = process_time()
    for call in calls:
        _decide(gate, call)
    return (process_time() - begun) / len(calls) * 1e6


def _decide(gate: Any, call: ToolCall) -> None:
    """A check awaits nothing: its first step is its last."""
    try:
        gate.check(call, None).send(None)
    except StopIteration:
        return
    raise AssertionError("the check awaited something")
