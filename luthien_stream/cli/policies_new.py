"""`luthien-stream policies new NAME`: the file of a new policy and its test, which passes as written."""

from __future__ import annotations

import argparse
import keyword
import re
from pathlib import Path

from luthien_stream.cli.common import add_config_flag, config_path, console
from luthien_stream.cli.new_templates import TEMPLATES, policy_file, test_file
from luthien_stream.cli.plain import printable
from luthien_stream.errors import ConfigError
from luthien_stream.policy.catalogue import names

SUMMARY = "begin a policy: its file and its test"
HELP = """Write workers/NAME.py and tests/test_NAME.py beside the configuration, or here without one. Nothing is
overwritten."""
EPILOG = """\
kinds:
  text      replaces text, wherever the provider cut it
  gate      decides on tool calls
  policy    request and response, all by hand
  monitor   scores each turn, beside the call
  handler   hooks in the older style: requests, chunks

examples:
  luthien-stream policies new no_force_push --kind gate
  pytest tests/test_no_force_push.py
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("name", metavar="NAME", help="the policy's name: lower case, digits, underscores")
    parser.add_argument("--kind", choices=tuple(TEMPLATES), default="policy", help="what it does (default: policy)")
    add_config_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Write both files."""
    config = config_path(args)
    folder = config.parent if config is not None else Path.cwd()
    _check(args.name, folder)
    policy, test = folder / "workers" / f"{args.name}.py", folder / "tests" / f"test_{args.name}.py"
    for file in (policy, test):
        if file.exists():
            raise ConfigError(f"{file} is there already: choose another name, or remove it")
    _write(policy, policy_file(args.kind, args.name))
    _write(test, test_file(args.kind, args.name))
    say = console()
    say.print(printable(f"{policy}\n{test}\n", lines=True), markup=False)
    say.print(f"Run the test with `pytest {test}`, then put it into luthien.yaml:", markup=False)
    say.print(f"\npipeline:\n  - use: {args.name}", markup=False)
    return 0


def _check(name: str, folder: Path) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name) or name.startswith("test_"):
        raise ConfigError(f"{name!r} cannot name a policy: write lower case letters, digits and underscores")
    if name in names(folder / "workers"):
        raise ConfigError(f"There is a policy {name!r} already: `luthien-stream policies show {name}`")


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}") from error
