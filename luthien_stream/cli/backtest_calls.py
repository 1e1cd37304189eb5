"""Which calls a backtest runs over, and what each of its processes makes of the flags."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from luthien_stream.activity.recall import choose, records_of
from luthien_stream.activity.store import Store
from luthien_stream.cli.candidate import candidate
from luthien_stream.cli.common import find_instance, run_async
from luthien_stream.cli.recorded import open_record
from luthien_stream.cli.sources import from_file, selection
from luthien_stream.cli.try_effects import read_effects
from luthien_stream.errors import ConfigError
from luthien_stream.record.lanes import Record
from luthien_stream.replay.again import Candidate, Options
from luthien_stream.replay.many import Made
from luthien_stream.replay.sessions import session_of
from luthien_stream.replay.work import Item, Trial

_FAKE = "fake:"


class Chosen(Struct, frozen=True):
    """Calls as (session, item), oldest first; `database` is where their records are read."""

    calls: list[tuple[str, Item]]
    database: str = ""


def chosen(args: argparse.Namespace) -> Chosen:
    """The calls that the flags name, and those of files. Raises `ConfigError`."""
    if args.file:
        records = [record for file in args.file for record in from_file(file)]
        return Chosen([(session_of(record), record) for record in records])
    return run_async(_chosen(args))


async def _chosen(args: argparse.Namespace) -> Chosen:
    instance = find_instance(args)
    async with open_record(instance) as store:
        return Chosen([*await choose(store, selection(args))], instance.database)


def tried(args: argparse.Namespace) -> Candidate:
    """What is tried. Raises `ConfigError`."""
    found = candidate(args)
    if found is None:
        raise ConfigError("name what is tried: --policy NAME, or --pipeline FILE.yaml")
    return found


def made(args: argparse.Namespace, database: str) -> Made:
    """What a process needs: the candidate, and a connection of its own."""
    options = Options(on_miss=args.on_miss, given=_given(args.effects))
    return Trial(tried(args), options, args.twice), _Reader(database)


class _Reader:
    """Reads calls from the record; those that are given whole stay as they are."""

    def __init__(self, database: str) -> None:
        self._store = Store(database)
        self._runner: asyncio.Runner | None = None

    def __call__(self, items: Sequence[Item]) -> Iterable[Record]:
        ids = [item for item in items if isinstance(item, str)]
        if not ids:
            return [item for item in items if isinstance(item, Record)]
        self._runner = self._runner or asyncio.Runner()
        found = iter(self._runner.run(records_of(self._store, ids)))
        return [next(found) if isinstance(item, str) else item for item in items]

    def close(self) -> None:
        """Give up the connection."""
        if self._runner is not None:
            self._runner.run(self._store.close())
            self._runner.close()


def _given(effects: str) -> Mapping[str, Any]:
    if effects == "log":
        return {}
    if effects.startswith(_FAKE):
        return read_effects(Path(effects.removeprefix(_FAKE)))
    raise ConfigError(f"--effects {effects!r} is not known: write log, or fake:FILE.json")
