"""`luthien-stream policies`: what there is, what each does, a new one, and how it decides on your cases."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from luthien_stream.cli import policies_list, policies_new, policies_show, try_policies

HELP = """List policies, show one with its configuration, begin a new one with its test, and try policies on cases or on
a recorded call, without a gateway."""
EPILOG = """\
examples:
  luthien-stream policies                                 what there is
  luthien-stream policies show sql_protection
  luthien-stream policies new no_force_push --kind gate   writes workers/no_force_push.py and its test
  luthien-stream policies try shell_guard cases.jsonl     one line of JSON for each case

`luthien-stream policies ACTION --help` explains one of them; docs/policies.md is the guide.
"""
ACTIONS = {"list": policies_list, "show": policies_show, "new": policies_new, "try": try_policies}


class _Parser(argparse.ArgumentParser):
    """A parser of one action: where `--pipeline` names the policies, no NAME is needed."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """Parse; see the class."""
        words = list(args or ())
        whole = any(word.partition("=")[0] == "--pipeline" for word in words)
        return super().parse_known_args(["pipeline", *words] if whole and "pipeline" not in words else words, namespace)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", parser_class=_Parser)
    for name, module in ACTIONS.items():
        action = actions.add_parser(
            name,
            help=module.SUMMARY,
            description=module.HELP,
            epilog=module.EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.arguments(action)


def run(args: argparse.Namespace) -> int:
    """Do what the action says; list without one."""
    if args.action is None:
        args.config, args.json = None, False
    return int(ACTIONS[args.action or "list"].run(args))
