"""The policies that a recorded call passed, in the very versions, as far as they are installed here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from luthien_stream.config.model import PolicyUse
from luthien_stream.errors import LuthienError
from luthien_stream.policy.catalogue import load_stages
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.stages import External, Stage, Stages
from luthien_stream.record.lanes import Record

Load = Callable[[Sequence[Any]], Sequence[PolicyUse]]
"""Reads a pipeline as it was written, with the environment's values put in. Raises `ConfigError`."""


class NotInstalled(LuthienError):
    """The version of a stage that a call passed is not here; the message names what differs."""


class Installed:
    """Finds stages by key: among those given, and in what the record says was written."""

    def __init__(
        self, stages: Stages | Iterable[Stage] = (), folder: Path | None = None, load: Load | None = None
    ) -> None:
        """`folder` is the configuration's own `workers/`."""
        several = (*stages.enforcing, stages.shadow) if isinstance(stages, Stages) else tuple(stages)
        self._known: dict[str, Stage] = {stage.stage: stage for stage in several if stage is not None}
        self._folder, self._load = folder, load or _plain
        self._tried: set[bytes] = set()

    @property
    def known(self) -> dict[str, Stage]:
        """All stages found so far, by key."""
        return self._known

    def find(self, key: str, record: Record) -> Stage:
        """The stage of this key. Raises `NotInstalled`."""
        if key not in self._known:
            self._learn(record.pipelines.get(key, []))
        if key in self._known:
            return self._known[key]
        raise NotInstalled(self._lacking(key, record))

    def _learn(self, written: Sequence[Any]) -> None:
        digest = msgspec.json.encode(written)
        if not written or digest in self._tried:
            return
        self._tried.add(digest)
        try:
            stages = load_stages(self._load(written), self._folder)
        except LuthienError:
            return  # what is missing is named by `_lacking`
        for stage in (*stages.enforcing, *([stages.shadow] if stages.shadow else [])):
            self._known.setdefault(stage.stage, stage)

    def _lacking(self, key: str, record: Record) -> str:
        recorded = record.policies.get(key, [])
        here = {bound.name: bound.version for stage in self._made(record, key) for bound in stage.policies}
        differ = [
            f"{name} {version} (installed: {here.get(name, 'none')})"
            for name, version in recorded
            if here.get(name) != version
        ]
        if differ:
            return f"The stage {key} is not installed as it ran: {', '.join(differ)}"
        names = ", ".join(f"{name} {version}" for name, version in recorded) or "unknown policies"
        return f"The stage {key} ({names}) is not installed: check out the code that ran it, or name it with --pipeline"

    def _made(self, record: Record, key: str) -> Iterable[Pipeline]:
        """What the record's own pipeline comes to with the code that is installed."""
        try:
            stages = load_stages(self._load(record.pipelines.get(key, [])), self._folder)
        except LuthienError:
            return []
        name = key.partition("@")[0]
        return [stage for stage in stages.pipelines if stage.name == name]


def is_ours(stage: Stage) -> bool:
    """Whether it can be run here."""
    return not isinstance(stage, External)


def _plain(written: Sequence[Any]) -> Sequence[PolicyUse]:
    return msgspec.convert(written, list[PolicyUse])
