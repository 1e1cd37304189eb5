"""`luthien-stream policies list`: all policies, own ones, built-in ones and those of installed packages."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from luthien_stream.cli.common import add_config_flag, console, own_policies, print_json
from luthien_stream.cli.plain import printable
from luthien_stream.cli.policy_facts import FieldFacts, PolicyFacts, all_facts

SUMMARY = "list all policies (the default)"
HELP = """List policies: those in workers/ beside the configuration, built-in ones, and those of installed packages."""
EPILOG = """\
columns: the phases it takes part in; the kinds of events it sees; how long it may hold them; what it asks for from
outside; how it may fail; its configuration (* must be given; `policies show NAME` has types, defaults and what each is
for); the digest of its file; where it is.
"""
_COLUMNS = ("name", "phases", "sees", "hold", "effects", "fails", "with", "digest", "path")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_config_flag(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    found = list(all_facts(own_policies(args)))
    if args.json:
        for one in found:
            print_json(msgspec.structs.asdict(one))
        return 0
    from rich.table import Table
    from rich.text import Text

    from luthien_stream.cli.calls import print_table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in _COLUMNS:
        table.add_column(name, no_wrap=name in ("name", "digest"), overflow="fold")
    for one in found:
        table.add_row(*(Text(printable(word)) for word in _row(one)))
    print_table(console(), table)
    return 0


def _row(one: PolicyFacts) -> tuple[str, ...]:
    if one.error:
        return one.name, "cannot be loaded:", one.error, "", "", "", "", "", _near(one.path)
    fields = " ".join(f"{field.name}*" if field.required else field.name for field in one.fields)
    lists = [" ".join(words) or "-" for words in (one.phases, one.sees, (one.hold,), one.effects)]
    return one.name, *lists, one.fail, fields or "-", one.digest, _near(one.path)


def default_text(one: FieldFacts) -> str:
    """A field's default as JSON."""
    return msgspec.json.encode(one.default).decode()


def _near(path: str) -> str:
    """A path as it is shortest from here."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
