"""Where commands get recorded calls from: a call, a session, a file, or a query that begins with `~` or `!`."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from luthien_stream.activity.find import Selection, find_calls
from luthien_stream.activity.proving import Heads, prove
from luthien_stream.activity.read import CallUnknown, find_call, record_of
from luthien_stream.activity.store import Store
from luthien_stream.cli.common import count, find_instance
from luthien_stream.cli.recorded import NoRecord
from luthien_stream.errors import ConfigError, LuthienError
from luthien_stream.record.filter import parse
from luthien_stream.record.lanes import Record
from luthien_stream.record.load import load_bytes
from luthien_stream.tail.since import parse_since

EXAMPLES = (
    "a call's id or its beginning, a session's id, a file (.jsonl, .eval, .json, .sse), or a filter like '~v deny'"
)


class NoSource(ConfigError):
    """Nothing is recorded under this name; the message says what was looked for."""


def add_selection_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which recorded calls are meant."""
    group = parser.add_argument_group("which calls")
    group.add_argument("--since", metavar="TIME", help="only calls after: 30s, 10m, 2h, 1d, or 2026-01-31T12:00")
    group.add_argument("--until", metavar="TIME", help="only calls before")
    group.add_argument("--model", default="", metavar="GLOB", help="only calls to these models")
    group.add_argument("--session", default="", metavar="ID", help="only calls of this agent session")
    group.add_argument("--query", default="", metavar="FILTER", help="only calls that fit: '~p judge & ~v deny'")
    group.add_argument("--limit", type=count, metavar="N", help="only the newest so many")


def selection(args: argparse.Namespace, query: str = "") -> Selection:
    """The calls that the flags mean. Raises `ConfigError`, `BadFilter`."""
    filters = [text for text in (query, getattr(args, "query", "")) if text]
    return Selection(
        since=parse_since(args.since) if args.since else 0,
        until=parse_since(args.until) if args.until else 0,
        model=args.model,
        session=args.session,
        query=parse(" & ".join(f"({text})" for text in filters)) if filters else None,
        limit=args.limit or 0,
    )


class Calls:
    """The calls that a command works on, read one by one. Made by `opened`."""

    def __init__(self, args: argparse.Namespace, runner: asyncio.Runner, stack: ExitStack) -> None:
        self._args, self._runner, self._stack = args, runner, stack
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        """The record of the instance. Raises `ConfigError` where there is none."""
        if self._store is None:
            instance = find_instance(self._args)
            if instance.database == "none":
                raise NoRecord
            self._store = Store(instance.database)
            self._stack.callback(lambda: self._runner.run(self.store.close()))
        return self._store

    def found(self, sources: Sequence[str]) -> list[str | Path]:
        """What the sources name: ids of calls, and files. Without any, the calls that the flags mean."""
        found: list[str | Path] = []
        for source in sources:
            path = Path(source)
            if path.is_file():
                found.append(path)
            elif source.lstrip()[:1] in ("~", "!", "("):
                found += self._runner.run(find_calls(self.store, selection(self._args, source)))
            else:
                found += self._named(source)
        if not sources:
            found += self._runner.run(find_calls(self.store, selection(self._args)))
        return found

    def records(self, found: Sequence[str | Path]) -> Iterator[Record]:
        """Read what was found, in order."""
        for one in found:
            if isinstance(one, Path):
                yield from from_file(one)
            else:
                yield self._runner.run(record_of(self.store, one))

    def wrong(self, call: str, heads: Heads) -> list[str]:
        """What of a recorded call is not what its seal says; empty where it holds, or has no seal yet."""
        (proof,) = self._runner.run(prove(self.store, [call], heads))
        return proof.wrong

    def _named(self, source: str) -> list[str]:
        try:
            return [self._runner.run(find_call(self.store, source))]
        except CallUnknown:
            calls = self._runner.run(find_calls(self.store, Selection(session=source)))
            if not calls:
                raise NoSource(
                    f"Nothing is recorded as {source!r}, and there is no such file: give {EXAMPLES}"
                ) from None
            return calls


@contextmanager
def opened(args: argparse.Namespace) -> Iterator[Calls]:
    """Open what calls are read from; the instance is looked for only when it is needed."""
    with asyncio.Runner() as runner, ExitStack() as stack:
        yield Calls(args, runner, stack)


def from_file(path: Path) -> Iterator[Record]:
    """Read the calls of a file. Raises `LuthienError` that names it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    try:
        yield from load_bytes(path.name, data)
    except LuthienError as error:
        raise ConfigError(f"{path}: {error}") from error
