"""The policies that a command tries on recorded calls, and those that are installed."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from luthien_stream.cli.common import config_path, own_policies
from luthien_stream.cli.pipeline_check import load_checked
from luthien_stream.config.load import DEFAULT_FILE, load_config, policy_folder
from luthien_stream.config.model import PolicyUse
from luthien_stream.config.written import read_pipeline
from luthien_stream.errors import ConfigError
from luthien_stream.policy.catalogue import bind, load_stages
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.stages import External, Stages
from luthien_stream.replay.again import Candidate
from luthien_stream.replay.installed import Installed


def add_candidate_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that name a candidate."""
    group = parser.add_argument_group("which policies")
    group.add_argument("--policy", metavar="NAME|FILE.py", help="one policy, by its name or in a file of its own")
    group.add_argument("--with", dest="with_", default="", metavar="JSON", help="its configuration, as a JSON object")
    group.add_argument("--pipeline", type=Path, metavar="FILE", help="all policies of a configuration file")


def candidate(args: argparse.Namespace) -> Candidate | None:
    """The candidate that the flags name, None where they name none. Raises `ConfigError`."""
    if args.policy and args.pipeline:
        raise ConfigError("give --policy or --pipeline, not both")
    if args.with_ and not args.policy:
        raise ConfigError("--with is the configuration of one --policy; a pipeline has it in its file")
    if args.pipeline:
        stages = load_stages(load_checked(args.pipeline).pipeline, policy_folder(args.pipeline))
        return _of(stages, str(args.pipeline))
    return _one(args) if args.policy else None


def _one(args: argparse.Namespace) -> Candidate:
    name, folder = args.policy, own_policies(args)
    if name.endswith(".py"):
        file = Path(name).absolute()
        if not file.is_file():
            raise ConfigError(f"There is no file {name}")
        name, folder = file.stem, file.parent
    bound = bind(PolicyUse(name, _object(args.with_)), folder)
    if getattr(bound.policy, "beside", False):
        return Candidate(Pipeline(()), Pipeline((bound,), "shadow"))
    return Candidate(Pipeline((bound,)))


def _of(stages: Stages, what: str) -> Candidate:
    others = [stage.stage for stage in stages.enforcing if isinstance(stage, External)]
    if others:
        raise ConfigError(
            f"{what} has stages whose workers are not ours, which cannot be run here: {', '.join(others)}"
        )
    if not stages:
        raise ConfigError(f"{what} has no policies: name some under `pipeline:`")
    ours = [stage for stage in stages.enforcing if isinstance(stage, Pipeline)]
    return Candidate(Pipeline(tuple(bound for stage in ours for bound in stage.policies)), stages.shadow)


def installed(args: argparse.Namespace) -> Installed:
    """The stages that are installed here: those of the configuration, and what records say was written."""
    path = config_path(args)
    folder = policy_folder(path or Path(DEFAULT_FILE))
    stages = load_stages(load_config(path, os.environ).pipeline, folder)

    def load(written: Sequence[Any]) -> Sequence[PolicyUse]:
        return read_pipeline(msgspec.json.encode(written).decode(), os.environ, lambda uses: ())

    return Installed(stages, folder, load)


def _object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) if text else {}
    except msgspec.MsgspecError as error:
        raise ConfigError(f"--with must be a JSON object: {error}") from error
