"""`luthien-stream import`: calls of a file into the record."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from luthien_stream.activity.heads import FOLDER, HeadsFile
from luthien_stream.activity.importing import with_session, write_records
from luthien_stream.activity.indexing import Indexing
from luthien_stream.activity.labels import put_label
from luthien_stream.activity.sealing import Sealing
from luthien_stream.activity.store import Store
from luthien_stream.cli.common import add_instance_flags, data_folder, find_instance, print_json
from luthien_stream.cli.progress import Progress
from luthien_stream.cli.recorded import NoRecord
from luthien_stream.cli.sources import from_file
from luthien_stream.errors import ConfigError, LuthienError
from luthien_stream.events.log import RequestReceived
from luthien_stream.record.lanes import Record
from luthien_stream.record.load import load_bytes

HELP = """Read calls of files into the record: files of `export`, logs of Inspect (.eval, .json), transcripts in OpenAI
form, lists of chunks, event streams. The same file twice changes nothing."""
EPILOG = """\
examples:
  luthien-stream import calls.jsonl
  luthien-stream import run.eval --label attack
  luthien-stream import transcripts.jsonl --session-prefix 2026-11- --dry-run
"""


BATCH = 50
"""Calls in one transaction."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="a file; - is standard input")
    parser.add_argument("--label", choices=("attack", "benign"), default="", help="label all of its calls so")
    parser.add_argument("--session-prefix", default="", metavar="TEXT", help="put before the names of its sessions")
    parser.add_argument("--dry-run", action="store_true", help="say what is in it, and change nothing")
    parser.add_argument("--strict", action="store_true", help="stop at the first file that cannot be read")
    add_instance_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Import all files; exit code 1 if one could not be read."""
    failed = False
    with asyncio.Runner() as runner:
        store = None if args.dry_run else _store(args)
        try:
            for file in args.files:
                try:
                    _say(args, file, _one(args, file, store, runner))
                except LuthienError as error:
                    if args.strict:
                        raise
                    failed = True
                    sys.stderr.write(f"luthien-stream: {error}\n")
        finally:
            if store is not None:
                runner.run(store.close())
    return int(failed)


def _store(args: argparse.Namespace) -> Store:
    instance = find_instance(args)
    if instance.database == "none":
        raise NoRecord
    return Store(instance.database)


def _one(args: argparse.Namespace, file: str, store: Store | None, runner: asyncio.Runner) -> dict[str, Any]:
    calls = new = 0
    sessions: set[str] = set()
    progress = Progress("calls")
    for records in _batches(_records(file)):
        made = [with_session(each, args.session_prefix) if args.session_prefix else each for each in records]
        calls += len(made)
        sessions |= {request.session for each in made if (request := _request(each)) is not None and request.session}
        if store is not None:
            new += len(runner.run(_write(args, store, made)))
        for _ in made:
            progress.step()
    progress.clear()
    return {"file": file, "calls": calls, "new": new, "sessions": len(sessions)}


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    while batch := list(islice(records, BATCH)):
        yield batch


def _request(record: Record) -> RequestReceived | None:
    return next((s.event for s in record.events if isinstance(s.event, RequestReceived)), None)


async def _write(args: argparse.Namespace, store: Store, records: Sequence[Record]) -> list[Record]:
    """Write what is new, do what the recorder does once a call has ended (seal it, index it), and label all."""
    new, stop = await write_records(store, records), asyncio.Event()
    if new:
        sealing = Sealing(store, HeadsFile(data_folder(args) / FOLDER), stop)
        sealing.touch([record.call_id for record in new])
        await sealing.look(quiet_s=0)
    for record in new:
        await Indexing(store, stop).index(record)
    for label, labelled in _labels(args, records).items():
        await put_label(store, labelled, label, by="import")
    return new


def _labels(args: argparse.Namespace, records: Sequence[Record]) -> dict[str, list[str]]:
    """Calls by their labels: the given one, or the record's own."""
    found: dict[str, list[str]] = {}
    for record in records:
        if label := args.label or record.label:
            found.setdefault(label, []).append(record.call_id)
    return found


def _records(file: str) -> Iterator[Record]:
    if file == "-":
        return load_bytes("stdin", sys.stdin.buffer.read())
    path = Path(file)
    if not path.is_file():
        raise ConfigError(f"There is no file {file}")
    return from_file(path)


def _say(args: argparse.Namespace, file: str, counts: dict[str, Any]) -> None:
    if args.json:
        print_json(counts)
        return
    done = "would be read" if args.dry_run else f"read, {counts['new']} of them new"
    sys.stdout.write(f"{file}: {counts['calls']} calls in {counts['sessions']} sessions {done}\n")
