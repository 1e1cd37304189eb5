"""Which policies `policies try` runs: one by its name, or all that a configuration names."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from luthien_stream.cli.common import config_path, own_policies
from luthien_stream.cli.pipeline_check import load_checked
from luthien_stream.config.load import load_config, policy_folder
from luthien_stream.config.model import PolicyUse
from luthien_stream.errors import ConfigError
from luthien_stream.policy.catalogue import bind, load_stages
from luthien_stream.policy.pipeline import Pipeline

WHOLE = "pipeline"
DEFAULT = "default"


class Tried(Struct, frozen=True):
    """What is tried: what is enforced, as one stage, and what watches beside it. Stages of others cannot be tried."""

    enforcing: Pipeline
    shadow: Pipeline | None = None
    external: tuple[str, ...] = ()


def tried(args: argparse.Namespace) -> Tried:
    """The policies that the flags name. Raises `ConfigError`."""
    name, with_, file, own = args.name, args.with_, args.pipeline, own_policies(args)
    if with_ and (file is not None or name in (WHOLE, DEFAULT)):
        raise ConfigError("--with is for one policy; a pipeline has it in its file")
    if file is not None or name == WHOLE:
        path = file or config_path(args)
        return _whole(load_checked(path).pipeline, own if path is None else policy_folder(path), str(path))
    if name == DEFAULT:
        return _whole(load_config(None, {}).pipeline, own, "The default pipeline")
    return Tried(Pipeline((bind(PolicyUse(name, _object(with_)), own),)))


def _whole(uses: Sequence[PolicyUse], folder: Path | None, what: str) -> Tried:
    stages = load_stages(uses, folder)
    if not stages.enforcing and stages.shadow is None:
        raise ConfigError(f"{what} has no policies: name some under `pipeline:`")
    ours = [stage for stage in stages.enforcing if isinstance(stage, Pipeline)]
    others = tuple(stage.name for stage in stages.enforcing if not isinstance(stage, Pipeline))
    return Tried(Pipeline(tuple(bound for stage in ours for bound in stage.policies)), stages.shadow, others)


def _object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) if text else {}
    except msgspec.MsgspecError as error:
        raise ConfigError(f"--with must be a JSON object: {error}") from error
