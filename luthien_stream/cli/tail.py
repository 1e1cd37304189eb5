"""`luthien-stream tail`: the log as it is written, one line an event."""

from __future__ import annotations

import argparse
import sys
from contextlib import aclosing

from luthien_stream.bus import connect
from luthien_stream.cli.common import add_instance_flags, console, fail, find_instance, note, print_json, run_async
from luthien_stream.cli.follow import follow, missing
from luthien_stream.cli.plain import SHORT_ID
from luthien_stream.cli.tail_line import Line
from luthien_stream.events.json_form import to_json
from luthien_stream.record.filter import BadFilter, Facts
from luthien_stream.tail.positions import Gap
from luthien_stream.tail.reading import Seen
from luthien_stream.tail.since import parse_since
from luthien_stream.tail.wanted import VIEWS, Wanted, asked_for
from luthien_stream.tail.watching import Shown, Undecided, Watching

HELP = """Watch what passes, live: requests, every chunk as it came and as it was released, verdicts, errors. It reads
the log only, takes nothing from anybody, and may run any number of times. ≠ marks a chunk that a policy changed."""
EPILOG = """\
VIEW is events (the default), calls, chunks or verdicts. FILTER is the filter language, as in '~m model ~s session
~p policy ~v deny'; what is not known of a call yet does not fit.

examples:
  luthien-stream tail                                     everything, from now on
  luthien-stream tail --call 0192f3a4-7c1e                one call, by the beginning of its id
  luthien-stream tail --follow 0192f3a4-7c1e              what the model says and what is delivered, side by side
  luthien-stream tail --type 'verdict.*' --type 'policy.*'
  luthien-stream tail --model 'claude-*' --since 10m      with the last ten minutes before it
  luthien-stream tail verdicts '~m claude-* & !~v allow'   what policies decide
  luthien-stream tail calls '~o failed'                   a line when a call has ended
  luthien-stream tail --since 1h --no-follow --json       what is kept of the last hour, as CloudEvents
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("words", nargs="*", metavar="[VIEW] [FILTER]", help="what to show of which calls: see below")
    parser.add_argument("--call", default="", metavar="ID", help="only this call; the beginning of its id is enough")
    parser.add_argument("--session", default="", metavar="ID", help="only calls of this agent session")
    parser.add_argument("--model", default="", metavar="GLOB", help="only calls to these models")
    parser.add_argument("--type", action="append", default=[], metavar="GLOB", help="only these events; repeatable")
    parser.add_argument("--since", metavar="TIME", help="begin in the past: 30s, 10m, 2h, 1d, or 2026-01-31T12:00")
    parser.add_argument("--follow", metavar="CALL", help="both lanes of one call as they grow, until it has ended")
    parser.add_argument("--no-follow", action="store_true", help="end where the log ends now")
    add_instance_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Print until interrupted, or to the end of what is kept with `--no-follow`."""
    url = find_instance(args).redis
    if url == "memory":
        return fail(
            "the log is in the memory of `up` (redis: memory): watch it over HTTP, see docs/tail.md, or use another"
        )
    if args.follow:
        if args.words or args.call or args.session or args.model or args.type or args.since or args.no_follow:
            return fail("--follow shows one call whole: it goes with none of the other filters and flags")
        return run_async(follow(url, args.follow, as_json=args.json))
    since = parse_since(args.since) if args.since else None
    if since is None and args.no_follow:
        since = 0
    words = list(args.words)
    view = words.pop(0) if words and words[0] in VIEWS else "events"
    try:
        wanted = asked_for(
            view, " ".join(words), call=args.call, session=args.session, model=args.model, types=args.type
        )
    except BadFilter as error:
        return fail(str(error))
    run_async(_tail(url, wanted, since, follow=not args.no_follow, as_json=args.json))
    return 0


async def _tail(url: str, wanted: Wanted, since: int | None, *, follow: bool, as_json: bool) -> None:
    line, bus = Line(colour=console().is_terminal), connect(url)
    try:
        async with aclosing(Watching(bus, wanted, since=since, follow=follow).events()) as events:
            async for each in events:
                match each:
                    case Shown(seen, facts):
                        _print(line, seen, facts, as_json=as_json)
                    case Gap():
                        note(missing(each))
                    case Undecided(call):
                        note(f"call {call[:SHORT_ID]} began before what the log keeps: whether it fits is not known")
    finally:
        await bus.close()


def _print(line: Line, seen: Seen, facts: Facts, *, as_json: bool) -> None:
    if as_json:
        print_json(to_json(seen.event, seen.src, seen.entry))
    else:
        sys.stdout.write(line.text(seen, facts) + "\n")
        sys.stdout.flush()
