"""Which policies `policies try` runs: one by its name, or all that a configuration names."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec

from luthien_stream.cli.common import config_path, own_policies
from luthien_stream.cli.pipeline_check import load_checked
from luthien_stream.config.load import load_config, policy_folder
from luthien_stream.config.model import PolicyUse
from luthien_stream.errors import ConfigError
from luthien_stream.policy.catalogue import load_pipeline
from luthien_stream.policy.pipeline import Pipeline

WHOLE = "pipeline"
DEFAULT = "default"


def pipeline_of(args: argparse.Namespace) -> Pipeline:
    """The policies that the flags name. Raises `ConfigError`."""
    name, with_, file, own = args.name, args.with_, args.pipeline, own_policies(args)
    if with_ and (file is not None or name in (WHOLE, DEFAULT)):
        raise ConfigError("--with is for one policy; a pipeline has it in its file")
    if file is not None or name == WHOLE:
        return _whole(file or config_path(args))
    if name == DEFAULT:
        return _loaded(load_config(None, {}).pipeline, own, "The default pipeline")
    return _loaded([PolicyUse(name, _object(with_))], own, name)


def _whole(path: Path | None) -> Pipeline:
    if path is None:
        raise ConfigError("There is no luthien.yaml here: name the configuration with --config or --pipeline")
    return _loaded(load_checked(path).pipeline, policy_folder(path), str(path))


def _loaded(uses: Any, folder: Path | None, what: str) -> Pipeline:
    pipeline = load_pipeline(uses, folder)
    if pipeline is None:
        raise ConfigError(f"{what} has no policies: name some under `pipeline:`")
    return pipeline


def _object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) if text else {}
    except msgspec.MsgspecError as error:
        raise ConfigError(f"--with must be a JSON object: {error}") from error
