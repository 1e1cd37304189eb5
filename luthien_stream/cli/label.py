"""`luthien-stream label`: say of recorded calls whether they were an attack."""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path
from typing import Any

import msgspec

from luthien_stream.activity.find import Selection, find_calls
from luthien_stream.activity.labels import drop_label, list_labels, put_label
from luthien_stream.activity.read import find_call
from luthien_stream.activity.store import Store
from luthien_stream.cli.common import add_instance_flags, fail, find_instance, print_json, run_async
from luthien_stream.cli.plain import day_and_time, iso, printable
from luthien_stream.cli.recorded import open_record
from luthien_stream.errors import ConfigError

HELP = """Label recorded calls: `attack` for those that should have been caught, `benign` for those that should pass.
Backtests count by it."""
EPILOG = """\
examples:
  luthien-stream label 0192f3a4-7c1e attack --note "reads the keys"
  luthien-stream label --session night-run-7 benign
  luthien-stream label --file labels.jsonl         lines like {"call": "0192f3a4-...", "label": "attack"}
  luthien-stream label --remove 0192f3a4-7c1e
  luthien-stream label                             all labels
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("words", nargs="*", metavar="CALL attack|benign", help="a call and its label")
    parser.add_argument("--session", default="", metavar="ID", help="all calls of this session")
    parser.add_argument("--file", type=Path, metavar="FILE", help="labels from a file of JSON lines")
    parser.add_argument("--remove", action="store_true", help="take labels away")
    parser.add_argument("--by", default="", metavar="NAME", help="who says so (default: you)")
    parser.add_argument("--note", default="", metavar="TEXT", help="why")
    add_instance_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Label, or list."""
    try:
        return run_async(_run(args))
    except ConfigError as error:
        fail(str(error))
        return 2


async def _run(args: argparse.Namespace) -> int:
    async with open_record(find_instance(args)) as store:
        if not args.words and not args.session and args.file is None:
            return _list(args, [dict(row) for row in await list_labels(store)])
        wanted = await _wanted(args, store)
        by = args.by or _me()
        done = 0
        for label, calls in wanted.items():
            if args.remove:
                done += await drop_label(store, calls)
            else:
                done += await put_label(store, calls, label, by=by, note=args.note)
        sys.stdout.write(f"{done} calls {'have no label any more' if args.remove else 'labelled'}\n")
        return 0


async def _wanted(args: argparse.Namespace, store: Store) -> dict[str, list[str]]:
    """Calls by label. Raises `ConfigError`, `CallUnknown`."""
    words = list(args.words)
    if args.file is not None:
        found: dict[str, list[str]] = {}
        for call, label in _lines(args.file):
            found.setdefault(label, []).append(await find_call(store, call))
        return found
    label = "" if args.remove else words.pop() if words else ""
    if not args.remove and label not in ("attack", "benign"):
        raise ConfigError(f"a label is attack or benign, not {label!r}: luthien-stream label CALL attack")
    calls = [await find_call(store, word) for word in words]
    if args.session:
        calls += await find_calls(store, Selection(session=args.session))
    if not calls:
        raise ConfigError("say which call: luthien-stream label CALL attack, or --session ID")
    return {label: calls}


def _lines(path: Path) -> list[tuple[str, str]]:
    found = []
    try:
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            given = msgspec.json.decode(line, type=dict[str, Any]) if line.strip() else None
            if given is None:
                continue
            call, label = str(given.get("call") or given.get("call_id") or ""), given.get("label")
            if not call or label not in ("attack", "benign"):
                raise ConfigError(f"{path}:{number}: a line is {{'call': ID, 'label': 'attack' or 'benign'}}")
            found.append((call, str(label)))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path} is no file of JSON lines: {error}") from error
    return found


def _list(args: argparse.Namespace, rows: list[dict[str, Any]]) -> int:
    for row in rows:
        if args.json:
            print_json({**row, "time": iso(row["time"])})
        else:
            words = [row["call_id"], row["label"], day_and_time(row["time"]), row["by"], row["note"]]
            sys.stdout.write("  ".join(printable(word) for word in words if word) + "\n")
    if not rows and not args.json:
        sys.stdout.write("No call is labelled yet.\n")
    return 0


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
