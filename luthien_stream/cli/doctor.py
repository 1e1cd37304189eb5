"""`luthien-stream doctor`: look at every part and say what is wrong and what to do."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from rich.markup import escape

from luthien_stream.cli.common import (
    add_instance_flags,
    config_path,
    console,
    data_folder,
    find_instance,
    print_json,
    run_async,
)
from luthien_stream.config.instance import Instance
from luthien_stream.config.load import examine
from luthien_stream.errors import ConfigError

if TYPE_CHECKING:
    from luthien_stream.cli.checks import Finding

HELP = """Look at every part: programs, configuration, files, the log (Redis), the record (Postgres), edges, workers,
and the recorder. Each line says ok, warn or fail, and what to do. The exit code is 1 if anything fails."""
EPILOG = """\
examples:
  luthien-stream doctor
  luthien-stream doctor --only log --only record
"""
CHECK_NAMES = ("programs", "configuration", "files", "log", "record", "edge", "upstream", "workers", "activity")
COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_instance_flags(parser)
    parser.add_argument(
        "--only",
        action="append",
        choices=CHECK_NAMES,
        default=[],
        metavar="CHECK",
        help=f"only this check, may be repeated: {', '.join(CHECK_NAMES)}",
    )


def run(args: argparse.Namespace) -> int:
    """Check and print."""
    return run_async(_run(args))


async def _run(args: argparse.Namespace) -> int:
    from luthien_stream.cli.checks import Finding, Patient, examine_all

    instance, why_not = _instance(args)
    path = config_path(args, instance)
    config, _ = examine(path, os.environ)
    failed = False
    if instance is None:
        failed = True
        _print(args, Finding("instance", "fail", why_not))
    async for finding in examine_all(Patient(data_folder(args), path, config, instance), args.only):
        failed = failed or finding.state == "fail"
        _print(args, finding)
    return 1 if failed else 0


def _instance(args: argparse.Namespace) -> tuple[Instance | None, str]:
    try:
        return find_instance(args), ""
    except ConfigError as error:
        return None, str(error)


def _print(args: argparse.Namespace, finding: Finding) -> None:
    if args.json:
        print_json(finding)
    else:
        state = f"[{COLOURS[finding.state]}]{finding.state:<4}[/]"
        console().print(f"{state} {finding.check:<13} {escape(finding.message)}")
