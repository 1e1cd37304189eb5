"""The command `luthien-stream`: finds the subcommand's module, which is imported only when it is needed."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys
import textwrap
from types import ModuleType

from luthien_stream import __version__
from luthien_stream.errors import LuthienError

GROUPS: dict[str, dict[str, str]] = {
    "run it": {
        "up": "start everything: edge, worker, activity, and the servers they need",
        "setup": "print what to set for a client: Claude Code, Codex, the SDKs, ...",
        "run": "run an agent or any program against the gateway, which is started if none runs",
        "demo": "send a short scripted session through the running gateway and show both lanes",
        "doctor": "check every part and say what is wrong",
        "validate": "check a configuration without starting anything",
    },
    "look at calls": {
        "tail": "watch what passes, live",
        "calls": "list recorded calls",
        "show": "show one call: both lanes, verdicts, timings",
        "approvals": "answer for policies that ask a person",
        "stop": "end calls now: one, a session's, or all",
        "dead-letter": "look at events that could not be processed",
    },
    "work with the record": {
        "search": "where something was said",
        "sessions": "runs of agents: calls, tokens, cost, verdicts",
        "shadow": "verdicts of a policy that only watches, disagreements first",
        "replay": "run recorded calls through policies again, the same ones or others",
        "backtest": "what a policy would have done to all of them: matrix, recall, gates for CI",
        "diff": "what the model said beside what was delivered, word by word",
        "export": "write recorded calls to a file",
        "import": "read calls of a file into the record",
        "label": "say of calls whether they were an attack",
        "verify": "check that the record is still what the log said",
        "forget": "take a session, a user or a call out of the record",
    },
    "write policies": {
        "policies": "list, show and begin policies, and try them on cases",
    },
    "single roles, for fleets": {
        "edge": "run one edge: the HTTP gateway",
        "worker": "run one policy worker",
        "activity": "run the recorder",
        "upstream": "run the litellm server, for providers of other kinds",
    },
}
DESCRIPTION = "An LLM gateway for AI control: what clients ask and models answer passes through policies, on record."
EPILOG = """\
start here:
  luthien-stream up                          then copy the curl it prints
  luthien-stream tail                        in a second terminal

`luthien-stream COMMAND --help` explains a command, with examples.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    words = sys.argv[1:] if arguments is None else arguments
    commands = {name: summary for group in GROUPS.values() for name, summary in group.items()}
    chosen = next((word for word in words if not word.startswith("-")), None)
    parser = _parser()
    if chosen not in commands:
        parser.parse_args(words)  # answers --help and --version, and refuses anything else
        parser.print_help()
        return 2
    _spare_rich()
    module = _module(chosen)
    command = argparse.ArgumentParser(
        prog=f"luthien-stream {chosen}",
        description=_filled(module.HELP),
        epilog=module.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.arguments(command)
    args = command.parse_args(words[words.index(chosen) + 1 :])
    return _run(module, args)


def _run(module: ModuleType, args: argparse.Namespace) -> int:
    importlib.import_module("luthien_stream.logging").keep_off_output()  # after `_spare_rich`
    try:
        return int(module.run(args))
    except LuthienError as error:
        sys.stderr.write(f"luthien-stream: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing to say at the interpreter's exit
        return 0


def _spare_rich() -> None:
    """Import structlog as if rich were not there: its own tracebacks are not used, and no role needs the rest."""
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]


def _module(command: str) -> ModuleType:
    name = {"import": "import_calls"}.get(command, command.replace("-", "_"))  # a word of Python names no module
    return importlib.import_module(f"luthien_stream.cli.{name}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="luthien-stream",
        usage="luthien-stream COMMAND [options]",
        description=f"{_filled(DESCRIPTION)}\n\n{_overview()}",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"luthien-stream {__version__}")
    parser.add_argument(
        "command", nargs="?", choices=[name for group in GROUPS.values() for name in group], help=argparse.SUPPRESS
    )
    return parser


def _filled(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), min(shutil.get_terminal_size().columns, 100) - 2)


def _overview() -> str:
    lines: list[str] = []
    for title, commands in GROUPS.items():
        lines += [f"{title}:", *(f"  {name:<12} {summary}" for name, summary in commands.items()), ""]
    return "\n".join(lines).rstrip()


if __name__ == "__main__":
    sys.exit(main())
