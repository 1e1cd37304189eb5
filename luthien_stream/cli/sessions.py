"""`luthien-stream sessions`: runs of agents, with what they cost and what policies decided."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

import msgspec
from rich.table import Table

from luthien_stream.activity.search import calls_in, list_sessions
from luthien_stream.cli.common import add_instance_flags, console, count, find_instance, print_json, run_async
from luthien_stream.cli.plain import SHORT_ID, cost, iso, preview, printable, span, when
from luthien_stream.cli.recorded import open_record
from luthien_stream.tail.since import parse_since

HELP = """List the sessions of agents, the latest first: calls, models, tokens, cost, verdicts. With a session: its
calls in order, judges and draws below the call that they were made for."""
EPILOG = """\
A cost with ~ is an estimate, or there are calls without a known price.

examples:
  luthien-stream sessions --since 1d
  luthien-stream sessions 4f1c2f0e-...
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("session", nargs="?", metavar="SESSION", help="show the calls of this one")
    parser.add_argument("--since", metavar="TIME", help="only sessions with a call after: 10m, 2h, 1d")
    parser.add_argument("--user", default="", metavar="NAME", help="only those of this user")
    parser.add_argument("--limit", type=count, default=30, metavar="N", help="at most so many (default: %(default)s)")
    add_instance_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Print the list, or the calls of one."""
    rows = run_async(_rows(args))
    if args.json:
        for row in rows:
            print_json(_object(row))
    elif not rows:
        sys.stdout.write("No session like this is recorded.\n")
    else:
        console().print(_calls(rows) if args.session else _sessions(rows))
    return 0


async def _rows(args: argparse.Namespace) -> list[dict[str, Any]]:
    async with open_record(find_instance(args)) as store:
        if args.session:
            return [dict(row) for row in await calls_in(store, args.session)]
        since = parse_since(args.since) if args.since else 0
        return [dict(row) for row in await list_sessions(store, since=since, user=args.user, limit=args.limit)]


def _sessions(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("session", "when", "took", "calls", "tokens", "cost", "verdicts", "models"):
        table.add_column(name, no_wrap=name in ("when", "took"), overflow="fold")
    for row in rows:
        verdicts = _verdicts(row)
        table.add_row(
            printable(row["session"]),
            when(row["first_time"]),
            span(row["last_time"] - row["first_time"]),
            str(row["calls"]),
            f"{row['input']}+{row['output']}",
            cost(row["cost"], row["estimated"]),
            " ".join(f"{kind}:{number}" for kind, number in sorted(verdicts.items())),
            printable(", ".join(row["models"])),
        )
    return table


def _calls(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("call", "when", "model", "outcome", "tokens", "cost", "label", "verdicts"):
        table.add_column(name, no_wrap=name in ("call", "when"), overflow="fold")
    for row in rows:
        tokens = "" if row["output"] is None else f"{row['input']}+{row['output']}"
        outcome = (row["final_end"] or "response.open").removeprefix("response.")
        table.add_row(
            ("  " if row["parent"] else "") + row["call_id"][:SHORT_ID],
            when(row["time"]),
            printable(row["model"]),
            f"{row['status'] or ''} {outcome}".strip(),
            tokens,
            cost(row["cost"], row["estimated"]),
            row["label"],
            preview(" ".join(row["verdicts"]), 60),
        )
    return table


def _verdicts(row: Mapping[str, Any]) -> dict[str, int]:
    return msgspec.json.decode(row["verdicts"], type=dict[str, int])


def _object(row: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = dict(row)
    for name in ("time", "first_time", "last_time"):
        if name in row:
            made[name] = iso(row[name])
    if "first_time" in row:
        made["verdicts"] = _verdicts(row)
    return made
