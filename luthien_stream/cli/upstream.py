"""`luthien-stream upstream`: the process that speaks to providers through litellm."""

from __future__ import annotations

import argparse

from luthien_stream.cli.common import add_instance_flags
from luthien_stream.cli.role import run_role

HELP = """Run the litellm server: the way to every provider that is neither OpenAI- nor Anthropic-compatible. Edges
on this machine ask it over a Unix socket in the data folder; `up` starts it where a route needs it. It takes seconds to
load and some 250 MB."""
EPILOG = """\
examples:
  luthien-stream upstream                           for the edges of the instance in .luthien
  luthien-stream upstream --config luthien.yaml     beside `luthien-stream edge --config luthien.yaml`
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_instance_flags(parser, json=False)


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from luthien_stream.upstream.litellm_server.process import serve

    return run_role(args, "upstream", serve)
