"""For policy authors: a change of a policy's file or of the configuration is put in force as soon as it is saved.

What cannot be loaded is said with its line, and what is in force stays in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import structlog

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


async def watch(
    files: Files, check: Callable[[], object], reload: Callable[[], object], *, every_s: float = EVERY_S
) -> None:
    """Call `reload` after each change that `check` can load; it raises `ConfigError` where it cannot."""
    while True:
        await asyncio.sleep(every_s)
        names = files.changed()
        if not names:
            continue
        try:
            check()
        except ConfigError as error:
            log.error("reload_refused", files=names, message=str(error), kept="what was in force")
        else:
            log.info("reloading", files=names)
            reload()
