"""`luthien-stream forget`: take a session, a user or a call out of the record for good."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Mapping
from typing import Any

from luthien_stream.activity.forgetting import about, calls_of, forget
from luthien_stream.activity.heads import FOLDER, HeadsFile
from luthien_stream.activity.read import find_call
from luthien_stream.cli.common import add_instance_flags, data_folder, fail, find_instance, print_json, run_async
from luthien_stream.cli.plain import day_and_time
from luthien_stream.cli.recorded import open_record

HELP = """Delete what is recorded of a session, of a user or of one call: requests, both lanes, verdicts, effects,
labels, and what only those requests said. It cannot be undone. What the log (Redis) still has of open calls is trimmed
by itself."""
EPILOG = """\
examples:
  luthien-stream forget --session 4f1c...
  luthien-stream forget --user alice@example.com --yes
  luthien-stream forget --call 0192f3a4-7c1e
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--session", default="", metavar="ID", help="all calls of this agent session")
    which.add_argument("--user", default="", metavar="NAME", help="all calls that say they are for this user")
    which.add_argument("--call", default="", metavar="CALL", help="one call, by its id or its beginning")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_instance_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Say what would go, ask, delete."""
    return run_async(_run(args))


async def _run(args: argparse.Namespace) -> int:
    async with open_record(find_instance(args)) as store:
        call = await find_call(store, args.call) if args.call else ""
        calls = await calls_of(store, session=args.session, user=args.user, call=call)
        if not calls:
            return fail("nothing like this is recorded")
        sys.stderr.write(_told(await about(store, calls)))
        if not args.yes and not _agreed():
            return fail("nothing was deleted; --yes does not ask")
        gone = await forget(store, calls, HeadsFile(data_folder(args) / FOLDER), by=_me())
    if args.json:
        print_json(gone)
    else:
        said = ", ".join(f"{count} {name}" for name, count in gone.items() if count)
        sys.stdout.write(f"deleted: {said}\n")
    return 0


def _told(what: Mapping[str, Any]) -> str:
    """What will go, before it does."""
    when = f"{day_and_time(what['first_time'])} to {day_and_time(what['last_time'])}"
    return (
        f"{what['calls']} calls ({what['children']} of them asked by policies) of {what['sessions']} sessions and "
        f"{what['users']} users, {when}: requests, both lanes, verdicts, effects, labels, index\n"
    )


def _agreed() -> bool:
    sys.stderr.write("Delete them for good? Write yes: ")
    sys.stderr.flush()
    return sys.stdin.isatty() and sys.stdin.readline().strip() == "yes"


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
