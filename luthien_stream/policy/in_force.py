"""Which pipeline is in force, for one process: all of them follow one value in the log.

A pipeline comes from the configuration file, when a process starts or is told to read it again, or over the admin
listener. It is loaded whole before it is published, and whoever cannot load it keeps what it has.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import msgspec
import structlog
from msgspec import Struct

from luthien_stream.config.load import load_config, policy_folder
from luthien_stream.config.model import Config, PolicyUse
from luthien_stream.config.read import Finding
from luthien_stream.config.written import read_pipeline, written, written_in
from luthien_stream.errors import BusError, ConfigError, LuthienError
from luthien_stream.policy.catalogue import check_policies, load_stages
from luthien_stream.policy.stages import Stages

log = structlog.get_logger()

NAME = "pipeline"
"""What the value is called in the log."""
KEPT_MS = 10 * 365 * 86_400 * 1000


class Values(Protocol):
    """What a log keeps under names."""

    async def get_value(self, name: str) -> bytes | None: ...
    async def put_values(self, values: Mapping[str, bytes], *, ttl_ms: int) -> None: ...


class Version(Struct, frozen=True):
    """What is published. `pipeline` is as it was written; `file` digests what the file said then."""

    id: str
    pipeline: list[Any]
    file: str = ""
    by: Literal["file", "api"] = "file"
    time: int = 0
    """Microseconds since 1970."""
    stages: tuple[str, ...] = ()
    """The keys of its stages, where it was loaded first."""


class InForce:
    """See the module. `get` and `put` reach the value of a name in the log, and raise `BusError`."""

    def __init__(
        self,
        path: Path | None,
        get: Callable[[str], Awaitable[bytes | None]],
        put: Callable[[str, bytes], Awaitable[None]],
    ) -> None:
        self._path, self._get, self._put = path, get, put
        self.version = Version("", [])
        self.stages = Stages()
        self._refused = ""

    @classmethod
    def over(cls, log: Values, path: Path | None) -> Self:
        """Follow what is published in this log."""
        return cls(path, log.get_value, lambda name, value: log.put_values({name: value}, ttl_ms=KEPT_MS))

    async def begin(self, config: Config) -> Stages:
        """Start with what is published, unless the file has changed since; else with the file.

        Raises `ConfigError`, also where what is in force cannot be loaded here: the file may ask for less.
        """
        self.version = Version("", self._written(config), self._digest(config))
        try:
            published = await self._published()
        except BusError as error:
            log.warning("log_does_not_answer", error=type(error).__name__)
            published = None
        if published is not None and published.file == self.version.file:
            self._adopt(published)
            return self.stages
        self.stages = load_stages(config.pipeline, policy_folder(self._path))
        return self.stages

    async def look(self) -> Stages | None:
        """Return the stages of what has been published since the last look, None for nothing new. Raises `BusError`."""
        published = await self._published()
        if published is None or published.id in (self.version.id, self._refused):
            return None
        return self.stages if self._take(published) else None

    async def read_again(self) -> Version:
        """Publish what the configuration file says, policy files included. Raises `ConfigError`, `BusError`."""
        config = load_config(self._path, os.environ, self._check)
        return await self._publish(self._written(config), self._digest(config), "file")

    async def replace(self, text: str) -> Version:
        """Publish a pipeline, as YAML or JSON. Raises `ConfigError`, `BusError`."""
        read_pipeline(text, os.environ, self._policies)
        return await self._publish(written(text), self.version.file, "api")

    async def _publish(self, pipeline: list[Any], file: str, by: Literal["file", "api"]) -> Version:
        stages = self._load(pipeline)
        keys = tuple(pipeline.stage for pipeline in stages.pipelines)
        version = Version(secrets.token_hex(8), pipeline, file, by, time.time_ns() // 1000, keys)
        await self._put(NAME, msgspec.json.encode(version))
        log.info("pipeline_published", version=version.id, by=by, stages=keys)
        return version

    async def _published(self) -> Version | None:
        raw = await self._get(NAME)
        try:
            return None if raw is None else msgspec.json.decode(raw, type=Version)
        except msgspec.MsgspecError as error:
            log.error("pipeline_unreadable", error=str(error))
            return None

    def _take(self, version: Version) -> bool:
        """Load a version that somebody else published; if that fails, what is in force stays."""
        try:
            self._adopt(version)
        except LuthienError as error:
            self._refused = version.id
            log.error("pipeline_refused", version=version.id, error=str(error))
            return False
        return True

    def _adopt(self, version: Version) -> None:
        stages = self._load(version.pipeline)
        self.stages, self.version, self._refused = stages, version, ""
        keys = tuple(pipeline.stage for pipeline in stages.pipelines)
        if keys != version.stages:
            log.warning("policy_files_differ", ours=keys, published=version.stages, do="reload with SIGHUP")
        names = [pipeline.name for pipeline in stages.pipelines]
        log.info("pipeline_loaded", version=version.id, by=version.by, stages=keys, names=names)

    def _load(self, pipeline: list[Any]) -> Stages:
        uses = read_pipeline(msgspec.json.encode(pipeline).decode(), os.environ, self._policies)
        return load_stages(uses, policy_folder(self._path))

    def _policies(self, uses: Sequence[PolicyUse]) -> Iterable[Finding]:
        return check_policies(uses, policy_folder(self._path))

    def _check(self, config: Config) -> Iterable[Finding]:
        return (((NAME, *path), message) for path, message in self._policies(config.pipeline))

    def _written(self, config: Config) -> list[Any]:
        return written_in(self._path, config.pipeline)

    def _digest(self, config: Config) -> str:
        return sha256(msgspec.json.encode(self._written(config))).hexdigest()[:16]


def refusal(error: ConfigError) -> list[dict[str, Any]]:
    """Return the problems that an error names, line by line, as the admin listener tells them."""
    problems = error.facts.get("problems", [])
    return [{"line": each.line, "message": each.message} for each in problems]
