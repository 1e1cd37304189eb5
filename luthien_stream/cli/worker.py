"""`luthien-stream worker`: one process that runs policies."""

from __future__ import annotations

import argparse

from luthien_stream.cli.common import add_instance_flags
from luthien_stream.cli.role import run_role

HELP = """Run one policy worker. Any number may run; they share the partitions among themselves, and when one ends the
others take over what it had, in the middle of an answer too. SIGTERM gives the partitions back first."""
EPILOG = """\
examples:
  luthien-stream worker                           one more worker for the instance in .luthien
  luthien-stream worker --config luthien.yaml     for the Redis that the configuration names
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_instance_flags(parser, json=False)


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from luthien_stream.worker.process import serve

    return run_role(args, "worker", serve)
