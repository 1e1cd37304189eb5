"""For policy authors: a change of a policy's file or of the configuration is put in force as soon as it is saved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import structlog

from luthien_stream.cli.role import Serve
from luthien_stream.config.instance import Instance, config_of
from luthien_stream.config.model import Config
from luthien_stream.errors import ConfigError

log = structlog.get_logger()
EVERY_S = 0.5
"""How often the files are looked at, seconds."""
MOST = 1000
"""How many files are looked at."""

State = Mapping[Path, tuple[int, int]]


class Files:
    """The configuration and the policies beside it, as they were when somebody last looked."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._seen = self._state()

    def changed(self) -> list[str]:
        """The names of the files that were saved, added or removed since the last look."""
        before, self._seen = self._seen, self._state()
        every = before.keys() | self._seen.keys()
        return sorted(file.name for file in every if before.get(file) != self._seen.get(file))

    def _state(self) -> State:
        return dict(islice(self._look(), MOST))

    def _look(self) -> Iterator[tuple[Path, tuple[int, int]]]:
        for file in [self._config, *sorted((self._config.parent / "workers").glob("*.py"))]:
            try:
                facts = file.stat()
            except OSError:  # gone between the list and the look: as if it had not been there
                continue
            yield file, (facts.st_mtime_ns, facts.st_size)


async def watch(files: Files, changed: Callable[[], object], *, every_s: float = EVERY_S) -> None:
    """Call `changed` after each change, until cancelled."""
    while True:
        await asyncio.sleep(every_s)
        names = files.changed()
        if names:
            log.info("files_changed", files=names)
            changed()


def reloading(serve: Serve) -> Serve:
    """Return a role that reads its configuration again whenever a file has changed. Raises `ConfigError` without one.

    What cannot be loaded is said by the role, with its line; what is in force stays.
    """

    async def serving(config: Config, instance: Instance, *, again: asyncio.Event, **more: Any) -> None:
        path = config_of(instance)
        if path is None:
            raise ConfigError("--reload needs a configuration file: write luthien.yaml, or name it with --config")
        watching = asyncio.create_task(watch(Files(path), again.set), name="files")
        try:
            await serve(config, instance, again=again, **more)
        finally:
            watching.cancel()

    return serving
