"""Recorded calls in Python: `load` a file, `replay` its calls; `run` is `policy.run.run`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

from luthien_stream.config.load import load_config, policy_folder
from luthien_stream.config.model import PolicyUse
from luthien_stream.errors import ConfigError
from luthien_stream.policy.api import Policy
from luthien_stream.policy.catalogue import bind, load_stages
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.stages import Stages
from luthien_stream.record.lanes import Record
from luthien_stream.record.load import load_bytes
from luthien_stream.replay.again import Candidate, Options
from luthien_stream.replay.installed import Installed
from luthien_stream.replay.result import Comparison
from luthien_stream.replay.sessions import compare_all
from luthien_stream.replay.verify import verify

Policies = Policy | Iterable[Policy] | Pipeline | Candidate | str | Path


def load(source: str | Path | bytes) -> list[Record]:
    """Return the calls of a file, in any form of `record.load`. Raises `LuthienError` that says what is wrong."""
    if isinstance(source, bytes):
        return list(load_bytes("bytes", source))
    path = Path(source)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    return list(load_bytes(path.name, data))


@overload
def replay(calls: Record, policies: Policies | None = None, **options: Any) -> Comparison: ...
@overload
def replay(calls: Sequence[Record], policies: Policies | None = None, **options: Any) -> list[Comparison]: ...
def replay(
    calls: Record | Sequence[Record], policies: Policies | None = None, **options: Any
) -> Comparison | list[Comparison]:
    """Run calls through policies again: through the recorded ones, where the same must come out, or through others.

    `policies` are instances, a name, a `.py` file, or a configuration file. `options` are those of `again.Options`
    (`on_miss`, `given`, ...); with `stages` or `folder` the recorded versions are looked up there too. Several calls
    of a session are run in order, up to the first that would have gone another way. Raises `ConfigError`.
    """
    several = [calls] if isinstance(calls, Record) else list(calls)
    if policies is None:
        installed = Installed(options.get("stages", ()), options.get("folder"))
        made = [verify(record, installed) for record in several]
    else:
        made = list(compare_all(several, candidate_of(policies), Options(**options)))
    return made[0] if isinstance(calls, Record) else made


def candidate_of(policies: Policies) -> Candidate:
    """Return policies as a candidate. Raises `ConfigError`."""
    match policies:
        case Candidate():
            return policies
        case Pipeline():
            return Candidate(policies)
        case str() | Path():
            return _named(str(policies))
        case _:
            return Candidate(Pipeline.of(policies))


def _named(name: str) -> Candidate:
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return _whole(load_stages(load_config(path, {}).pipeline, policy_folder(path)))
    folder = path.absolute().parent if path.suffix == ".py" else policy_folder(Path("luthien.yaml").absolute())
    return Candidate(Pipeline((bind(PolicyUse(path.stem if path.suffix == ".py" else name), folder),)))


def _whole(stages: Stages) -> Candidate:
    ours = [stage for stage in stages.enforcing if isinstance(stage, Pipeline)]
    return Candidate(Pipeline(tuple(bound for stage in ours for bound in stage.policies)), stages.shadow)
