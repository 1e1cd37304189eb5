"""`luthien-stream verify`: whether the record is still what the log said."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from luthien_stream.activity.days import day_of
from luthien_stream.activity.find import Selection, find_calls
from luthien_stream.activity.heads import FOLDER
from luthien_stream.activity.proving import Heads, Proof, heads_in, prove
from luthien_stream.activity.read import find_call
from luthien_stream.activity.store import Store
from luthien_stream.cli.common import add_instance_flags, data_folder, find_instance, print_json, run_async
from luthien_stream.cli.plain import printable
from luthien_stream.cli.progress import Progress
from luthien_stream.cli.recorded import open_record
from luthien_stream.tail.since import parse_since

HELP = """Check that recorded calls are what the log said: every row against the digest that was made before it was
stored, the chain over a call's rows against its seal, the seal against the daily file of heads. Says which row is
missing, changed or swapped."""
EPILOG = """\
examples:
  luthien-stream verify                            everything
  luthien-stream verify 0192f3a4-7c1e
  luthien-stream verify --since 1d --heads /mnt/elsewhere/heads

Copy the folder `heads` of the data folder to where nobody who may change the database can write.
exit codes: 0 all holds, 1 something does not, 5 there is nothing to check against
"""
BATCH = 100


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("call", nargs="?", metavar="CALL", help="only this call: its id or its beginning")
    parser.add_argument("--since", metavar="TIME", help="only calls after: 10m, 2h, 1d, or 2026-01-31T12:00")
    parser.add_argument("--heads", type=Path, metavar="FOLDER", help="the daily files (default: in the data folder)")
    add_instance_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Check and print."""
    return run_async(_run(args))


async def _run(args: argparse.Namespace) -> int:
    heads = heads_in(args.heads or data_folder(args) / FOLDER)
    async with open_record(find_instance(args)) as store:
        calls = await _calls(args, store, heads)
        counts = {"right": 0, "wrong": 0, "unsealed": 0, "unfiled": 0, "rows": 0}
        progress = Progress("calls", len(calls))
        for at in range(0, len(calls), BATCH):
            for proof in await prove(store, calls[at : at + BATCH], heads):
                _count(counts, proof)
                _show(args, proof)
            progress.step(min(BATCH, len(calls) - at))
        progress.clear()
    return _conclude(args, counts, heads)


async def _calls(args: argparse.Namespace, store: Store, heads: Heads) -> list[str]:
    """The calls to look at: those of the store, and those of the files that the store should have."""
    if args.call:
        return [await find_call(store, args.call)]
    since = parse_since(args.since) if args.since else 0
    found = await find_calls(store, Selection(since=since, children=True))
    known = set(found)
    gone = [call for call in heads.heads if call not in known and call not in heads.forgotten]
    return found + [call for call in gone if str(day_of(call)) not in heads.dropped and not since]


def _count(counts: dict[str, int], proof: Proof) -> None:
    counts["rows"] += proof.rows
    counts["wrong" if proof.wrong else "right" if proof.sealed else "unsealed"] += 1
    counts["unfiled"] += proof.sealed and not proof.filed


def _show(args: argparse.Namespace, proof: Proof) -> None:
    if args.json:
        print_json(proof)
    for wrong in () if args.json else proof.wrong:
        sys.stdout.write(f"{proof.call_id}: {printable(wrong)}\n")


def _conclude(args: argparse.Namespace, counts: dict[str, int], heads: Heads) -> int:
    if not args.json:
        for broken in heads.broken:
            sys.stdout.write(f"{printable(broken)}\n")
        words = [f"{counts['right']} calls hold", f"{counts['wrong']} do not", f"{counts['rows']} rows"]
        if counts["unsealed"]:
            words.append(f"{counts['unsealed']} are not sealed yet (open, or ended a moment ago)")
        if counts["unfiled"]:
            words.append(f"{counts['unfiled']} stand in no daily file here")
        sys.stdout.write(", ".join(words) + "\n")
    if counts["wrong"] or heads.broken:
        return 1
    return 5 if counts["right"] == 0 and not heads.heads else 0
