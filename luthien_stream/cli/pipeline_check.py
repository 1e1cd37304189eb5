"""Whether the policies that a configuration names can be loaded: what `validate`, `up` and `doctor` check beyond it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from luthien_stream.config.load import load_config, policy_folder
from luthien_stream.config.model import Config
from luthien_stream.config.read import Finding


def loads(path: Path | None) -> Callable[[Config], Iterator[Finding]]:
    """A check for `examine`: each policy of the pipeline by itself, so that each problem has its line."""

    def check(config: Config) -> Iterator[Finding]:
        if not config.pipeline:
            return
        from luthien_stream.policy.catalogue import check_policies

        for where, message in check_policies(config.pipeline, policy_folder(path)):
            yield ("pipeline", *where), message

    return check


def load_checked(path: Path | None) -> Config:
    """The configuration, policies included. Raises `ConfigError` with a line for each problem."""
    return load_config(path, os.environ, loads(path))
