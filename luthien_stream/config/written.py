"""A list of policies as somebody wrote it: its text, checked whole, and kept without its environment's values in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path as File
from typing import Any

import msgspec
import yaml

from luthien_stream.config.model import PolicyUse
from luthien_stream.config.pipeline import check_pipeline
from luthien_stream.config.read import Finding, Reading
from luthien_stream.errors import ConfigError

Check = Callable[[Sequence[PolicyUse]], Iterable[Finding]]


def read_pipeline(text: str, environ: Mapping[str, str], check: Check) -> tuple[PolicyUse, ...]:
    """Read a list of policies, YAML or JSON. Raises `ConfigError` that gives each problem its line."""
    reading = Reading(environ)
    uses = reading.read(text, tuple[PolicyUse, ...])
    if uses is not None:
        for path, message in (*check_pipeline(uses), *check(uses)):
            reading.complain(path, message)
    if uses is None or reading.problems:
        problems = sorted(set(reading.problems))
        raise ConfigError("\n".join(f"line {each.line}: {each.message}" for each in problems), problems=problems)
    return uses


def written(text: str) -> list[Any]:
    """Return a list of policies as plain values, `${NAME}` as it stands: values of the environment go nowhere."""
    found = yaml.safe_load(text)
    return found if isinstance(found, list) else []


def written_in(path: File | None, otherwise: Sequence[PolicyUse]) -> list[Any]:
    """The same for the `pipeline` of a configuration file that was read before; `otherwise` where it has none."""
    found = None if path is None or not path.is_file() else yaml.safe_load(path.read_text(encoding="utf-8"))
    if isinstance(found, dict) and isinstance(found.get("pipeline"), list):
        return list(found["pipeline"])
    return [msgspec.to_builtins(use) for use in otherwise]
