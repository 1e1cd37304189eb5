"""`luthien-stream calls`: the last recorded calls, newest first."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from luthien_stream.activity.find import Selection, find_calls
from luthien_stream.activity.read import Summary, list_calls, summaries_of
from luthien_stream.cli.common import add_instance_flags, console, count, find_instance, print_json, run_async
from luthien_stream.cli.plain import SHORT_ID, cost, iso, milliseconds, printable, span, when
from luthien_stream.cli.recorded import open_record
from luthien_stream.events.log import PolicyRan
from luthien_stream.record.filter import All, Term, parse
from luthien_stream.tail.since import parse_since

HELP = (
    """List recorded calls, newest first: what was asked for, how it ended, how long it took, what policies decided."""
)
EPILOG = """\
examples:
  luthien-stream calls                        the last 30
  luthien-stream calls --since 1h --model 'claude-*'
  luthien-stream calls --query '~v deny | ~o failed'
  luthien-stream calls --session 4f1c... --json
  luthien-stream show 0192f3a4-7c1e           one of them, by the beginning of its id
"""

WIDE = 1000
"""Width where there is no terminal: a file or a pipe takes whole lines."""
NARROW = 130
"""Width below which a terminal gets the columns that people look for first."""
COLUMNS = ("call_id", "when", "model", "format", "outcome", "took", "first", "chunks", "tokens", "cost", "verdicts")
ASKED = ("session", "model", "since", "user", "label", "query")
FIRST_COLUMNS = ("call_id", "when", "model", "outcome", "took", "verdicts")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--session", default="", metavar="ID", help="only calls of this agent session")
    parser.add_argument("--model", default="", metavar="GLOB", help="only calls to these models")
    parser.add_argument("--user", default="", metavar="GLOB", help="only calls for these users")
    parser.add_argument(
        "--label", default="", metavar="LABEL", help="only calls that a person called attack, or benign"
    )
    parser.add_argument("--query", default="", metavar="FILTER", help="only calls that fit: '~p shell_guard ~v deny'")
    parser.add_argument("--since", metavar="TIME", help="only calls after: 30s, 10m, 2h, 1d, or 2026-01-31T12:00")
    parser.add_argument("--limit", type=count, default=30, metavar="N", help="at most so many (default: %(default)s)")
    add_instance_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    calls = run_async(_calls(args))
    if args.json:
        for call in calls:
            print_json(as_object(call))
    elif calls:
        out = console()
        print_table(out, table_of(calls, FIRST_COLUMNS if out.is_terminal and out.width < NARROW else COLUMNS))
    else:
        console().print("No recorded call" + (" like this." if any(getattr(args, name) for name in ASKED) else " yet."))
    return 0


async def _calls(args: argparse.Namespace) -> list[Summary]:
    since = parse_since(args.since) if args.since else 0
    asked = [Term(name, value) for name in ("user", "label") if (value := getattr(args, name))]
    query = All((*asked, parse(args.query))) if args.query or asked else None
    async with open_record(find_instance(args)) as store:
        if query is not None:
            wanted = Selection(since, 0, args.model, args.session, query, args.limit, children=True)
            return await summaries_of(store, await find_calls(store, wanted))
        return await list_calls(store, session=args.session, model=args.model, since=since, limit=args.limit)


def as_object(call: Summary) -> dict[str, Any]:
    """Return a call as `--json` prints it."""
    return {
        "call_id": call.call_id,
        "time": iso(call.time),
        "model": call.model,
        "format": call.format,
        "session": call.session,
        "user": call.user_name,
        "parent": call.parent,
        "label": call.label,
        "client": call.client,
        "key": call.key,
        "streamed": call.streamed,
        "pipeline": call.version,
        "provider": call.provider,
        "status": call.status,
        "outcome": call.outcome,
        "error": call.error,
        "delivered": call.delivered,
        "delivered_bytes": call.delivered_bytes,
        "duration_ms": milliseconds(call.duration),
        "first_received_ms": milliseconds(call.first_received),
        "first_released_ms": milliseconds(call.first_released),
        "chunks_received": call.chunks_received,
        "chunks_released": call.chunks_released,
        "usage": call.usage,
        "tokens_read": call.tokens_read,
        "tokens_written": call.tokens_written,
        "cost_usd": call.cost,
        "cost_estimated": call.estimated,
        "verdicts": call.verdicts,
        "policies": [_ran(policy) for policy in call.policies],
        "body_ref": call.body_ref,
        "body_size": call.body_size,
    }


def _ran(policy: PolicyRan) -> dict[str, Any]:
    return {
        "name": policy.name,
        "version": policy.version,
        "verdict": policy.verdict,
        "held_ms": milliseconds(policy.held_us),
        "shadow": policy.shadow,
    }


def table_of(calls: list[Summary], columns: Sequence[str]) -> Table:
    """Lay out the calls. What is copied or compared is never cut; names and words may take a second line."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        whole = {"call_id": SHORT_ID, "when": 8, "took": 7, "first": 7, "chunks": 6, "tokens": 6, "cost": 7}.get(name)
        right = name in ("took", "first", "chunks", "tokens", "cost")
        table.add_column(
            name, justify="right" if right else "left", no_wrap=whole is not None, min_width=whole, overflow="fold"
        )
    for call in calls:
        cells = _cells(call)
        table.add_row(*(cells[name] for name in columns))
    return table


def _cells(call: Summary) -> dict[str, str]:
    return {
        "call_id": call.call_id[:SHORT_ID],
        "when": when(call.time),
        "model": printable(call.model),
        "format": call.format,
        "outcome": how(call),
        "took": span(call.duration),
        "first": span(call.first_released),
        "chunks": str(call.chunks_received),
        "tokens": "" if call.tokens_read is None else str(call.tokens_read + (call.tokens_written or 0)),
        "cost": cost(call.cost, call.estimated),
        "verdicts": printable(", ".join(dict.fromkeys(call.verdicts))),
    }


def print_table(out: Console, table: Table) -> None:
    """Print a table: within a terminal's width, else each row on one line, whole."""
    if not out.is_terminal:
        out.width = WIDE
    out.print(table)


def how(call: Summary) -> str:
    """Return the outcome in words: the status, and the error or how the client left if all was not well."""
    trouble = call.error or (call.delivered if call.delivered not in (None, "complete") else "")
    return printable(" ".join(str(word) for word in (call.status or "", call.outcome, trouble) if word))
