"""`luthien-stream diff CALL`: what the model said against what was delivered, and which policy made the difference."""

from __future__ import annotations

import argparse
import sys
from difflib import unified_diff
from typing import Any

import msgspec

from luthien_stream.cli.candidate import add_candidate_flags, candidate, installed
from luthien_stream.cli.common import add_instance_flags, fail, print_json
from luthien_stream.cli.compare_lines import CONTEXT, change_lines
from luthien_stream.cli.plain import printable
from luthien_stream.cli.sources import opened
from luthien_stream.errors import LuthienError
from luthien_stream.record.lanes import Record
from luthien_stream.replay.again import Candidate, compare
from luthien_stream.replay.blame import delivered_changes
from luthien_stream.replay.result import EXIT, Change

HELP = """Show what policies changed of one recorded call: text word by word, tool calls as differences of their
arguments, the request likewise, each with the policy that caused it. With --policy or --pipeline: what was delivered
against what those would deliver."""
EPILOG = """\
examples:
  luthien-stream diff 0192f3a4-7c1e
  luthien-stream diff 0192f3a4-7c1e --policy shell_guard
  luthien-stream diff calls.jsonl --json

exit codes: 0 the same, 1 it differs, 2 wrong usage
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("call", metavar="CALL", help="the call's id or its beginning; or a file with one call")
    add_candidate_flags(parser)
    parser.add_argument(
        "--context", type=int, default=CONTEXT, metavar="N", help="characters of equal text beside a change; -1 for all"
    )
    parser.add_argument("--unified", action="store_true", help="texts line by line, as `diff -u` has them")
    add_instance_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Print the differences."""
    try:
        return _run(args)
    except LuthienError as error:
        fail(str(error))
        return 2


def _run(args: argparse.Namespace) -> int:
    tried = candidate(args)
    with opened(args) as calls:
        records = list(calls.records(calls.found([args.call])))
    if len(records) != 1:
        fail(f"{args.call} names {len(records)} calls: give one")
        return 2
    changes, status = _changes(args, records[0], tried)
    if status > 1:
        return status
    if args.json:
        print_json({"call_id": records[0].call_id, "changes": [msgspec.to_builtins(one) for one in changes]})
    else:
        _print(args, records[0], changes, tried)
    return int(bool(changes))


def _changes(args: argparse.Namespace, record: Record, tried: Candidate | None) -> tuple[list[Change], int]:
    if tried is None:
        return delivered_changes(record, installed(args)), 0
    made = compare(record, tried)
    if made.status not in ("same", "differs"):
        fail(made.why)
        return [], EXIT[made.status]
    return [change for change in made.changes if change.what != "events"], 0


def _print(args: argparse.Namespace, record: Record, changes: list[Change], tried: Candidate | None) -> None:
    sides = ("the model said", "was delivered") if tried is None else ("was delivered", "the candidate would deliver")
    colour = sys.stdout.isatty()
    out = sys.stdout.write
    if not changes:
        out(f"{record.call_id}: what {sides[0]} is what {sides[1]}\n")
        return
    out(f"{record.call_id}: from what {sides[0]} to what {sides[1]}\n")
    for change in changes:
        out("\n")
        made = _unified(change) if args.unified and change.what in ("text", "thinking") else None
        found: Any = made or change_lines(change, colour=colour, context=args.context)
        out("".join(f"{line}\n" for line in found))


def _unified(change: Change) -> list[str]:
    lines = unified_diff(change.before.split("\n"), change.after.split("\n"), "before", "after", lineterm="")
    return [f"{change.what}{f'  (by {printable(change.by)})' if change.by else ''}:", *map(printable, lines)]
