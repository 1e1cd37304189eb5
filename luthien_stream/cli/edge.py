"""`luthien-stream edge`: one HTTP gateway process."""

from __future__ import annotations

import argparse
from functools import partial

from luthien_stream.cli.common import add_instance_flags
from luthien_stream.cli.role import run_role

HELP = """Run one edge: the HTTP gateway that clients talk to and that talks to the providers. Several on one machine
share the port; give each an --index of its own. SIGTERM lets open calls end first."""
EPILOG = """\
examples:
  luthien-stream edge --config luthien.yaml             for the Redis that the configuration names
  luthien-stream edge --config luthien.yaml --index 1   a second one on the same address
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_instance_flags(parser, json=False)
    parser.add_argument(
        "--index", type=int, default=0, metavar="N", help="number of this edge on its machine (default: 0)"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from luthien_stream.edge.process import serve

    return run_role(args, "edge", partial(serve, index=args.index), reads_again=True)
