"""Read `luthien.yaml` and check it whole: what is wrong is refused with file, line and the way out."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from pathlib import Path

from msgspec.structs import replace

from luthien_stream.config.check import check
from luthien_stream.config.model import DEFAULT_PIPELINE, Config, Provider
from luthien_stream.config.model_list import SECTIONS, remarks, settled
from luthien_stream.config.read import Finding, Problem, Reading
from luthien_stream.errors import ConfigError

DEFAULT_FILE = "luthien.yaml"
DEFAULT_PROVIDERS = {
    "anthropic": Provider("https://api.anthropic.com", "anthropic_messages", passthrough=True),
    "openai": Provider("https://api.openai.com/v1", ("openai_chat", "openai_responses"), passthrough=True),
}
_AUTH, _PIPELINE = ("auth",), ("pipeline",)


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
    reading = Reading(environ, SECTIONS)
    config = Config() if path is None else reading.read(_text(path), Config)
    if config is None:
        return None, sorted(set(reading.problems))
    if _PIPELINE not in reading.lines:
        config = replace(config, pipeline=DEFAULT_PIPELINE)
    config, missing = settled(_completed(config, path), environ, auth_given=_AUTH in reading.lines)
    for where, message in chain(missing, check(config), _unreadable(config), *(more(config) for more in checks)):
        reading.complain(where, message)
    return (None if reading.problems else config), sorted(set(reading.problems))


def without_effect(path: Path | None, environ: Mapping[str, str]) -> list[Problem]:
    """What a configuration says to LiteLLM and not to us, in the file's order: no problem, but worth knowing."""
    reading = Reading(environ, SECTIONS)
    config = None if path is None else reading.read(_text(path), Config)
    if config is None:
        return []
    found = remarks(config, reading.skipped, auth_given=_AUTH in reading.lines)
    return sorted({Problem(reading.line(where), message) for where, message in found})


def _completed(config: Config, path: Path | None) -> Config:
    """With the providers that are there where none is named, and files found from the configuration's folder."""
    folder = Path() if path is None else path.absolute().parent
    providers = {
        name: replace(provider, ca_file=str(folder / provider.ca_file)) if provider.ca_file else provider
        for name, provider in (config.providers or DEFAULT_PROVIDERS).items()
    }
    return replace(config, providers=providers)


def _unreadable(config: Config) -> Iterable[Finding]:
    for name, provider in config.providers.items():
        if provider.ca_file:
            try:
                ssl.create_default_context(cafile=provider.ca_file)
            except (OSError, ssl.SSLError) as error:
                yield (
                    ("providers", name, "ca_file"),
                    f"no certificates in PEM form can be read from {provider.ca_file} ({type(error).__name__})",
                )


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
