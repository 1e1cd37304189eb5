"""`luthien-stream approvals`: the tool calls that policies hold for a person, and the answers to them."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from luthien_stream.bus import connect
from luthien_stream.bus.holds import Hold, all_holds
from luthien_stream.bus.port import Bus
from luthien_stream.cli.common import add_instance_flags, fail, find_instance, run_async
from luthien_stream.cli.decide import Decision, Outcome, decide, is_waiting, told
from luthien_stream.cli.hold_page import as_object, json_line, line, page
from luthien_stream.cli.plain import day_and_time, seconds
from luthien_stream.errors import HoldUnknown

HELP = """Answer for policies that ask a person: see exactly what a tool would be called with, and approve it, reject
it, or change its arguments. A late approval counts for the next identical tool call of that session."""
EPILOG = """\
examples:
  luthien-stream approvals                                  what waits for an answer
  luthien-stream approvals show 0192f3a4-7c1e               one of them, every character visible
  luthien-stream approvals approve 0192f3a4-7c1e
  luthien-stream approvals approve 0192f3a4-7c1e --for 1h   too late: counts for an hour
  luthien-stream approvals modify 0192f3a4-7c1e --args '{"command": "ls"}'
  luthien-stream approvals watch                            ask here as they come; lines where this is no terminal

exit codes: 0 the decision counts, or stands for the next time; 1 failed; 2 wrong usage; 3 too late, or decided
otherwise before; 4 the call's worker has not said what came of it
"""
TOO_LATE, UNKNOWN = 3, 4
POLL_S = 0.5
DECISIONS = ("approve", "reject", "modify")
_EXIT = {"adopted": 0, "stands": 0, "already": TOO_LATE, "late": TOO_LATE, "unknown": UNKNOWN}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("action", nargs="?", choices=("list", "show", *DECISIONS, "watch"), default="list")
    parser.add_argument(
        "id", nargs="?", default="", metavar="ID", help="call id or its beginning, `:KEY` if it has several"
    )
    parser.add_argument("--args", metavar="JSON", help="for modify: the arguments instead, a JSON object")
    parser.add_argument("--by", default="", metavar="NAME", help="who decides (default: the user's name)")
    parser.add_argument(
        "--for",
        dest="for_s",
        type=seconds,
        default=900.0,
        metavar="TIME",
        help="how long a late approval counts: 15m, 1h",
    )
    parser.add_argument("--all", action="store_true", help="for list: those that were decided or have expired, too")
    add_instance_flags(parser)


def run(args: argparse.Namespace) -> int:
    """List, show, decide or watch."""
    if args.action in ("show", *DECISIONS) and not args.id:
        return fail(f"say which call: luthien-stream approvals {args.action} ID")
    if (args.action == "modify") != (args.args is not None):
        return fail("modify takes the new arguments: --args '{...}'; nothing else does")
    url = find_instance(args).redis
    if url == "memory":
        return fail("the log is in the memory of `up` (redis: memory): it cannot be reached from outside")
    return run_async(_run(url, args))


async def _run(url: str, args: argparse.Namespace) -> int:
    async with _bus(url) as bus:
        if args.action == "list":
            return await _list(bus, args)
        if args.action == "watch":
            return await _watch(bus, args)
        hold = await find(bus, args.id)
        if args.action == "show":
            status = await status_of(bus, hold)
            _print(json_line(as_object(hold, status)) if args.json else page(hold, status))
            return 0
        changed = _object(args.args) if args.args is not None else None
        if args.args is not None and changed is None:
            return fail("--args must be a JSON object: the arguments, not the tool")
        return await _decide(bus, hold, args.action, changed, args)


async def status_of(bus: Bus, hold: Hold) -> str:
    """`waiting`, what was decided, `expired`, or `over` where the call ended without an answer."""
    if hold.decision:
        return hold.decision
    if await is_waiting(bus, hold):
        return "waiting"
    return "over"


async def _list(bus: Bus, args: argparse.Namespace) -> int:
    found = [(hold, await status_of(bus, hold)) for hold in await all_holds(bus)]
    shown = [(hold, status) for hold, status in found if args.all or status == "waiting"]
    for hold, status in shown:
        _print(json_line(as_object(hold, status)) if args.json else line(hold, status))
    if not shown and not args.json:
        _print("Nothing waits for an answer.")
    return 0


async def _decide(bus: Bus, hold: Hold, kind: Any, changed: Any, args: argparse.Namespace) -> int:
    decision = Decision(kind, args.by or getpass.getuser(), changed, args.for_s)
    outcome = await decide(bus, hold, decision)
    if args.json:
        now = as_object(outcome.hold, await status_of(bus, outcome.hold))
        _print(json_line({"outcome": outcome.came, "message": told(outcome, decision, day_and_time), **now}))
    else:
        _print(told(outcome, decision, day_and_time))
    return _code(outcome, decision)


def _code(outcome: Outcome, decision: Decision) -> int:
    if outcome.came == "already" and outcome.hold.decision == decision.kind:
        return 0  # decided twice alike: nothing to do
    return _EXIT[outcome.came]


async def _watch(bus: Bus, args: argparse.Namespace) -> int:
    """Ask for each question as it comes; where nobody can be asked, print each and what becomes of it."""
    asks = sys.stdin.isatty() and sys.stdout.isatty() and not args.json
    seen: dict[str, str] = {}
    while True:
        for hold in await all_holds(bus):
            status = await status_of(bus, hold)
            if seen.get(hold.id, "" if status == "waiting" else status) == status:
                seen.setdefault(hold.id, status)
                continue
            seen[hold.id] = status
            if asks and status == "waiting":
                await _ask(bus, hold, args)
            else:
                _print(json_line(as_object(hold, status)) if args.json else line(hold, status))
        await asyncio.sleep(POLL_S)


async def _ask(bus: Bus, hold: Hold, args: argparse.Namespace) -> None:
    _print(f"\n{page(hold, 'waiting')}")
    while True:
        said = (await asyncio.to_thread(input, "[a]pprove, [r]eject, [m]odify, [s]kip? ")).strip().lower()
        kind = {"a": "approve", "r": "reject", "m": "modify"}.get(said[:1])
        if said[:1] == "s":
            return
        changed = _object(await asyncio.to_thread(input, "arguments (JSON): ")) if kind == "modify" else None
        if kind is not None and (kind != "modify" or changed is not None):
            await _decide(bus, hold, kind, changed, args)
            return


async def find(bus: Bus, id: str) -> Hold:
    """The question that a call's id or its beginning names, `:KEY` behind it or not, as the list shows it.

    One that waits comes before those that do not.
    """
    call, _, key = id.partition(":")
    found = [hold for hold in await all_holds(bus) if hold.call.startswith(call) and key in ("", hold.key)]
    if len(found) > 1:
        found = [hold for hold in found if await is_waiting(bus, hold)] or found
    if not found:
        raise HoldUnknown
    if len({hold.id for hold in found}) > 1:
        raise HoldUnknown("Several questions begin like this, name one:\n" + "\n".join(hold.id for hold in found))
    return found[0]


def _object(text: str) -> dict[str, Any] | None:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@asynccontextmanager
async def _bus(url: str) -> AsyncIterator[Bus]:
    bus = connect(url)
    try:
        yield bus
    finally:
        await bus.close()
