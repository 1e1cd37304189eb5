"""Where policies come from: a file's stem is the policy's name.

Looked up in the configuration's own `workers/`, then among the built-in ones, then in installed packages (entry point
group `luthien_stream.policies`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from hashlib import sha256
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import msgspec

import luthien_stream
from luthien_stream.config.model import PolicyUse
from luthien_stream.config.read import Finding
from luthien_stream.errors import ConfigError, LuthienError
from luthien_stream.events.slip import SHADOW
from luthien_stream.policy.api import Policy
from luthien_stream.policy.pipeline import Bound, Pipeline
from luthien_stream.policy.source import load_file, policy_in, source_of
from luthien_stream.policy.stages import External, Stage, Stages

GROUP = "luthien_stream.policies"


def load_pipeline(uses: Sequence[PolicyUse], folder: Path | None) -> Pipeline | None:
    """Return policies as one stage, whatever their stage and mode; None for no policies. Raises `ConfigError`.

    `folder` is the configuration's own `workers/`.
    """
    if not uses:
        return None
    return Pipeline(tuple(bind(use, folder) for use in uses))


def load_stages(uses: Sequence[PolicyUse], folder: Path | None) -> Stages:
    """Return the stages that a configuration names. Raises `ConfigError`; `folder` as for `load_pipeline`."""
    enforcing: list[Stage] = []
    watching: list[Bound] = []
    for use in uses:
        if use.external:
            enforcing.append(External(use.external, use.version, use.phases, fails_open=use.on_error == "open"))
            continue
        bound = bind(use, folder)
        last = enforcing[-1] if enforcing else None
        if use.mode == SHADOW or getattr(bound.policy, "beside", False):
            watching.append(bound)
        elif isinstance(last, Pipeline) and last.name == use.stage:
            enforcing[-1] = Pipeline((*last.policies, bound), use.stage)
        else:
            enforcing.append(Pipeline((bound,), use.stage))
    return Stages(tuple(enforcing), Pipeline(tuple(watching), SHADOW) if watching else None)


def check_policies(uses: Sequence[PolicyUse], folder: Path | None) -> Iterator[Finding]:
    """What is wrong with the policies themselves, each with its path in the list."""
    for number, use in enumerate(uses):
        if not use.use:
            continue
        try:
            bind(use, folder)
        except LuthienError as error:
            yield (number, "use"), str(error)


def find(name: str, folder: Path | None = None) -> type[Policy]:
    """Return the policy of that name. Raises `ConfigError` that names the ones near it."""
    file = _files(folder).get(name)
    if file is not None:
        return policy_in(load_file(file), name)
    point = _points().get(name)
    if point is not None:
        return policy_in(_loaded(point), name)
    known = names(folder)
    near = get_close_matches(name, known, cutoff=0.5) or known
    looked = ", ".join([str(folder)] * (folder is not None) + ["the built-in ones", "installed packages"])
    raise ConfigError(f"There is no policy {name!r}; near it: {', '.join(near)}. Looked in {looked}")


def _loaded(point: EntryPoint) -> object:
    try:
        return point.load()
    except Exception as error:
        raise ConfigError(f"{point.value} cannot be loaded: {type(error).__name__}: {error}") from error


def names(folder: Path | None = None) -> list[str]:
    """The names of all policies that `find` can find."""
    return sorted(places(folder))


def places(folder: Path | None = None) -> Mapping[str, Path | EntryPoint]:
    """Where each policy is that `find` can find: a file, or an installed package's entry point."""
    return {**_points(), **_files(folder)}


def built_in() -> Path:
    """The folder of the built-in policies, in an installed package and in a checkout."""
    package = Path(luthien_stream.__file__).parent
    installed = package / "_workers"
    return installed if installed.is_dir() else package.parent / "workers"


def _files(folder: Path | None) -> dict[str, Path]:
    """Name to file; the configuration's own come before the built-in ones."""
    found: dict[str, Path] = {}
    for place in (built_in(), folder):
        if place is not None and place.is_dir():
            found |= {file.stem: file for file in sorted(place.glob("*.py")) if not file.stem.startswith("_")}
    return found


def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def bind(use: PolicyUse, folder: Path | None) -> Bound:
    """Return the policy that an entry of a configuration names, in its place. Raises `ConfigError`."""
    cls = find(use.use, folder)
    try:
        policy = msgspec.convert(use.with_, cls)
        version = _version(policy)
    except msgspec.ValidationError as error:
        raise ConfigError(f"The policy {use.use!r} cannot take its `with`: {error}. {_takes(cls)}") from error
    except Exception as error:
        raise ConfigError(f"The policy {use.use!r} cannot be made: {type(error).__name__}: {error}") from error
    _check_open(use, policy)
    return Bound(use.use, policy, use.on_error, use.timeout_s, version, use.match)


def _takes(cls: type[Policy]) -> str:
    fields = [f"{f.encode_name}{' (required)' if f.required else ''}" for f in msgspec.structs.fields(cls)]
    return f"It takes {', '.join(fields)}" if fields else "It takes nothing"


def _check_open(use: PolicyUse, policy: Policy) -> None:
    """A policy that may have put out half of what it read has nothing whole to pass on when it fails."""
    if use.on_error == "closed":
        return
    if policy.redacts:
        raise ConfigError(f"The policy {use.use!r} takes secrets out: it cannot have on_error: open")
    if policy.hold == "tail":
        raise ConfigError(f"The policy {use.use!r} edits text across frames: it cannot have on_error: open")


def _version(policy: Policy) -> str:
    """Digest of the policy's source file and configuration."""
    fields = msgspec.to_builtins(policy, order="deterministic")
    facts: dict[str, Any] = {"release": luthien_stream.__version__, "fields": fields}
    return sha256(source_of(type(policy)) + msgspec.json.encode(facts)).hexdigest()[:16]
