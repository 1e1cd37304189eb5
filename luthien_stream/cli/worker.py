"""`luthien-stream worker`: one process that runs policies."""

from __future__ import annotations

import argparse
from functools import partial

from luthien_stream.cli.common import add_instance_flags
from luthien_stream.cli.reload import reloading
from luthien_stream.cli.role import run_role

HELP = """Run one policy worker. Any number may run; they share the partitions among themselves, and when one ends the
others take over what it had, in the middle of an answer too. SIGTERM gives the partitions back first."""
EPILOG = """\
examples:
  luthien-stream worker                           one more worker for the instance in .luthien
  luthien-stream worker --config luthien.yaml     for the Redis that the configuration names
  luthien-stream worker --stage shadow            what only watches, beside the calls
  luthien-stream worker --reload                  while you write policies
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_instance_flags(parser, json=False)
    parser.add_argument(
        "--stage",
        default="",
        metavar="NAME",
        help="serve only the stage of this name; `shadow` is that of mode: shadow (default: all but shadow)",
    )
    parser.add_argument(
        "--reload", action="store_true", help="for authors: put policies in force as their files are saved"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from luthien_stream.worker.process import serve

    role = partial(serve, stage=args.stage)
    return run_role(args, "worker", reloading(role) if args.reload else role, reads_again=True)
