"""`luthien-stream export`: recorded calls as a file of JSON lines, without secrets unless told otherwise."""

from __future__ import annotations

import argparse
import gzip
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from luthien_stream.cli.common import add_instance_flags, fail
from luthien_stream.cli.progress import Progress
from luthien_stream.cli.sources import EXAMPLES, add_selection_flags, opened
from luthien_stream.record.jsonl import dump
from luthien_stream.record.lanes import Record
from luthien_stream.replay.feed import NotWhole
from luthien_stream.replay.mask import masked

HELP = """Write recorded calls to a file of JSON lines: requests, both lanes, verdicts, effects, the pipelines that they
passed. Secrets are masked, unless --raw; a masked call can be read, compared and backtested, but not verified."""
EPILOG = f"""\
SOURCE is {EXAMPLES}.

examples:
  luthien-stream export 0192f3a4-7c1e -o call.jsonl
  luthien-stream export --since 1d -o today.jsonl.gz
  luthien-stream export '~v deny' --raw | luthien-stream import - --dry-run
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("sources", nargs="*", metavar="SOURCE", help="a call, a session, a file, or a filter")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (default: standard output)")
    parser.add_argument("--raw", action="store_true", help="secrets and all, the very bytes")
    add_selection_flags(parser)
    add_instance_flags(parser, json=False)


def run(args: argparse.Namespace) -> int:
    """Write the file."""
    with opened(args) as calls:
        found = calls.found(args.sources)
        if not found:
            return fail("no recorded call is like this")
        written = 0
        with _output(args.output) as out:
            for line in dump(_counted(calls.records(found), raw=args.raw)):
                written += line.startswith(b'{"type":"call"')
                out.write(line)
    if args.output:
        sys.stderr.write(f"{written} calls written to {args.output}{'' if args.raw else ', secrets masked'}\n")
    return 0


def _counted(records: Iterator[Record], *, raw: bool) -> Iterator[Record]:
    progress = Progress("calls")
    for record in records:
        try:
            yield record if raw else masked(record)
        except NotWhole as error:
            sys.stderr.write(f"luthien-stream: left out: {error}\n")
        progress.step()
    progress.clear()


@contextmanager
def _output(path: Path | None) -> Iterator[BinaryIO]:
    """The file, which is there only when it is whole; or standard output."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    draft = path.with_name(f".{path.name}.part")
    draft.touch(mode=0o600)
    try:
        with gzip.open(draft, "wb") if path.suffix == ".gz" else draft.open("wb") as out:
            yield out  # type: ignore[misc]
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
