"""`luthien-stream validate`: what is wrong with a configuration, with the lines."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from luthien_stream.cli.common import add_config_flag, config_path, console, print_json
from luthien_stream.cli.pipeline_check import loads
from luthien_stream.cli.welcome import pipeline
from luthien_stream.config.load import describe, examine, without_effect

HELP = """Check a configuration without starting anything: keys, types, addresses, routes, policies and their settings,
and whether it would let strangers spend your keys. One line for each problem; the exit code is 1 if there is any."""
EPILOG = """\
examples:
  luthien-stream validate                 luthien.yaml in this folder
  luthien-stream validate policies.yaml
  luthien-stream validate --json          for programs: file, line and message of each problem
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "file", type=Path, nargs="?", metavar="FILE", help="the configuration (or name it with --config)"
    )
    add_config_flag(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")


def run(args: argparse.Namespace) -> int:
    """Check and print."""
    args.config = args.file or args.config
    path = config_path(args)
    config, problems = examine(path, os.environ, loads(path))
    for problem in problems:
        if args.json:
            print_json({"file": str(path), "line": problem.line, "message": problem.message})
        else:
            console().print(describe(path, problem), markup=False)
    for remark in without_effect(path, os.environ) if config is not None else ():
        if args.json:
            print_json({"file": str(path), "line": remark.line, "message": remark.message, "problem": False})
        else:
            console().print(f"{describe(path, remark)} (no problem)", markup=False)
    if config is not None and not args.json:
        where = path or "no luthien.yaml here: the defaults"
        console().print(f"{where}: good. Policies: {pipeline(config)}", markup=False)
    return 1 if problems else 0
