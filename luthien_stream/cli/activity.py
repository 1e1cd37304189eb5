"""`luthien-stream activity`: the process that writes the record into Postgres."""

from __future__ import annotations

import argparse

from luthien_stream.cli.common import add_instance_flags
from luthien_stream.cli.role import run_role

HELP = """Run the recorder: it reads every stream and keeps calls, both lanes, verdicts and usage in Postgres. While it
is away nothing is lost: it catches up when it is back."""
EPILOG = """\
examples:
  luthien-stream activity --config luthien.yaml   for the Redis and the database that the configuration names
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_instance_flags(parser, json=False)


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from luthien_stream.activity.process import serve

    return run_role(args, "activity", serve)
