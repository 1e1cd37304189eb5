"""Read `luthien.yaml` and check it whole: what is wrong is refused with file, line and the way out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path

import msgspec

from luthien_stream.config.check import Finding, check
from luthien_stream.config.model import Config, Provider
from luthien_stream.config.read import Problem, Reading
from luthien_stream.errors import ConfigError

DEFAULT_FILE = "luthien.yaml"
DEFAULT_PROVIDERS = {
    "anthropic": Provider("https://api.anthropic.com", "anthropic_messages", passthrough=True),
    "openai": Provider("https://api.openai.com/v1", ("openai_chat", "openai_responses"), passthrough=True),
}


def load_config(
    path: Path | None, environ: Mapping[str, str], *checks: Callable[[Config], Iterable[Finding]]
) -> Config:
    """The configuration in `path`, or the defaults for None. Raises `ConfigError` with a line for each problem."""
    config, problems = examine(path, environ, *checks)
    if config is None:
        raise ConfigError("\n".join(describe(path, problem) for problem in problems), problems=problems)
    return config


def examine(
    path: Path | None, environ: Mapping[str, str], *checks: Callable[[Config], Iterable[Finding]]
) -> tuple[Config | None, list[Problem]]:
    """The configuration and no problems, or None and all that is wrong, also for `checks`, in the file's order."""
    reading = Reading(environ)
    config = Config() if path is None else reading.read(_text(path), Config)
    if config is None:
        return None, sorted(set(reading.problems))
    if not config.providers:
        config = msgspec.structs.replace(config, providers=dict(DEFAULT_PROVIDERS))
    for where, message in chain(check(config), *(more(config) for more in checks)):
        reading.complain(where, message)
    return (None if reading.problems else config), sorted(set(reading.problems))


def policy_folder(path: Path | None) -> Path | None:
    """Where a configuration's own policies are: `workers/` beside the file."""
    folder = None if path is None else path.absolute().parent / "workers"
    return folder if folder is not None and folder.is_dir() else None


def describe(path: Path | None, problem: Problem) -> str:
    """`FILE:LINE: message`."""
    where = f"{path}:{problem.line}: " if path and problem.line else f"{path}: " if path else ""
    return where + problem.message


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist: name the configuration with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
