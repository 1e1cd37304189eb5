"""Recorded data that lie beside the checkout, where somebody has put them there: `../shared/corpora/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

CORPORA = Path(__file__).parents[2] / "shared" / "corpora"


def lines_of(name: str) -> list[Any]:
    """The objects of a file of JSON lines; the test is skipped where it is absent."""
    file = CORPORA / name
    if not file.exists():
        pytest.skip(f"{name} is not there")
    return [msgspec.json.decode(line) for line in file.read_bytes().splitlines()]


def actions_of(name: str) -> list[str]:
    """All that an agent did in a file of tasks with `actions`, in order; skipped likewise."""
    return [action for task in lines_of(name) for action in task["actions"]]
