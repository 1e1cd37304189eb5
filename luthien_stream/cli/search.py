"""`luthien-stream search`: where something was said."""

from __future__ import annotations

import argparse
import sys

from luthien_stream.activity.search import ROLES, START, STOP, search, unread
from luthien_stream.cli.common import add_instance_flags, count, find_instance, print_json, run_async
from luthien_stream.cli.plain import SHORT_ID, iso, printable, when
from luthien_stream.cli.recorded import open_record
from luthien_stream.cli.sources import add_selection_flags, selection

HELP = """Search what users, tools and models said, in all recorded calls: all words must be there; "quoted phrases" as
they stand; -words must not."""
EPILOG = """\
examples:
  luthien-stream search delete backup
  luthien-stream search '"rm -rf" -build' --role model --since 7d
  luthien-stream search --exact 'sk-' --query '!~l benign'
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("words", nargs="+", metavar="WORD", help="what to look for")
    parser.add_argument("--role", choices=ROLES, default="", help="who said it; delivered: what a policy made of it")
    parser.add_argument("--exact", action="store_true", help="a piece of text, whatever its case, not words")
    parser.add_argument("--most", type=count, default=20, metavar="N", help="hits to show (default: %(default)s)")
    add_selection_flags(parser)
    add_instance_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Print hits; exit code 1 if there are none."""
    return run_async(_run(args))


async def _run(args: argparse.Namespace) -> int:
    words = " ".join(args.words)
    async with open_record(find_instance(args)) as store:
        hits = await search(store, words, selection(args), role=args.role, exact=args.exact, limit=args.most)
        left = await unread(store)
    for hit in hits:
        excerpt = " ".join(hit["excerpt"].split())
        if args.json:
            plain = excerpt.replace(START, "").replace(STOP, "")
            print_json({**dict(hit), "time": iso(hit["time"]), "excerpt": plain})
        else:
            words_of = [hit["call_id"][:SHORT_ID], when(hit["time"]), f"{hit['role']:<9}", _marked(excerpt)]
            sys.stdout.write("  ".join(words_of) + "\n")
    if not args.json:
        if not hits:
            sys.stdout.write("Nobody said this, as far as the record goes.\n")
        if left:
            sys.stderr.write(f"{left} calls are not indexed yet (open, or ended a moment ago)\n")
    return int(not hits)


def _marked(excerpt: str) -> str:
    """The excerpt with its hits bold on a terminal."""
    on, off = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
    parts = excerpt.replace(STOP, START).split(START)
    return "".join(f"{on}{printable(part)}{off}" if at % 2 else printable(part) for at, part in enumerate(parts))
