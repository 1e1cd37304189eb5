"""`luthien-stream stop`: end calls now. The client is told in its own dialect, in a way that agents do not repeat."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import secrets
import sys
import time

import msgspec

from luthien_stream.bus import connect, keys
from luthien_stream.bus.port import Bus
from luthien_stream.cli.common import add_instance_flags, fail, find_instance, print_json, run_async
from luthien_stream.events import pack
from luthien_stream.events.log import StopRequested

HELP = """End calls now, as an event with an author: one call, all calls of an agent's session, or all calls. It reaches
every edge; those that wait for a person and those that no policy sees end too."""
EPILOG = """\
examples:
  luthien-stream stop 0192f3a4-7c1e-7abc         one call, by its id or at least 13 characters of it
  luthien-stream stop 4f1c0d5e-session           all calls of a session
  luthien-stream stop --all --reason 'wrong machine'

exit codes: 0 calls were ended; 1 failed, or an edge has not answered; 2 wrong usage; 3 no open call is meant
"""
WAIT_S = 5.0
"""How long edges may take to answer."""
LOOK_S = 0.05
ORDERS_TTL_MS = 60_000
NONE_MEANT = 3


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("what", nargs="?", default="", metavar="CALL|SESSION", help="which calls")
    what.add_argument("--all", action="store_true", help="all calls")
    parser.add_argument("--by", default="", metavar="NAME", help="who ends them (default: the user's name)")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the record and the client")
    add_instance_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Tell the edges, and say what they ended."""
    url = find_instance(args).redis
    if url == "memory":
        return fail("the log is in the memory of `up` (redis: memory): it cannot be reached from outside")
    order = StopRequested(
        call=args.what, time=time.time_ns() // 1000, by=args.by or getpass.getuser(), session=args.what, all=args.all
    )
    order.reason = args.reason
    answers = run_async(_stop(url, order))
    ended = sorted(call for calls in answers.values() for call in calls or ())
    if args.json:
        print_json(
            {"ended": ended, "edges": len(answers), "silent": [e for e, calls in answers.items() if calls is None]}
        )
    else:
        for call in ended:
            sys.stdout.write(f"ended {call}\n")
    silent = [edge for edge, calls in answers.items() if calls is None]
    if silent:
        return fail(f"{len(silent)} of {len(answers)} edges have not answered within {WAIT_S:.0f} s: try again")
    if not ended:
        fail("no open call is meant by that" if answers else "no edge runs")
        return NONE_MEANT
    return 0


async def _stop(url: str, order: StopRequested) -> dict[str, list[str] | None]:
    bus = connect(url)
    try:
        return await tell_edges(bus, order)
    finally:
        await bus.close()


async def tell_edges(bus: Bus, order: StopRequested, *, wait_s: float = WAIT_S) -> dict[str, list[str] | None]:
    """Send an order to every living edge; return what each ended, None for one that has not answered in time."""
    src = f"console:{secrets.token_hex(6)}"
    answers: dict[str, list[str] | None] = dict.fromkeys(await bus.alive("edge"))
    for edge in answers:
        await bus.append(keys.orders(edge), pack.encode(src, [order]))
        await bus.expire_stream(keys.orders(edge), ttl_ms=ORDERS_TTL_MS)
    end = time.monotonic() + wait_s
    while None in answers.values() and time.monotonic() < end:
        for edge in [edge for edge, calls in answers.items() if calls is None]:
            raw = await bus.get_value(f"stopped:{src}:{edge}")
            answers[edge] = msgspec.msgpack.decode(raw, type=list[str]) if raw is not None else None
        await asyncio.sleep(LOOK_S)
    return answers
