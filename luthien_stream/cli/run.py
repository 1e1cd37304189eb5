"""`luthien-stream run`: an agent, or any program, with the gateway before it."""

from __future__ import annotations

import argparse
import os
import shlex
import sys

from luthien_stream.cli.common import add_instance_flags, add_listen_flags
from luthien_stream.cli.foreground import run_in_foreground
from luthien_stream.cli.own_gateway import running_gateway
from luthien_stream.cli.setup import gateway_of, instance_or_plan
from luthien_stream.clients.catalogue import CLIENTS, anything, client_of
from luthien_stream.clients.launch import changes, words
from luthien_stream.clients.model import KEY, KEY_VARIABLE, Gateway, Setup
from luthien_stream.errors import ConfigError

HELP = """Run a command with everything set that makes it talk to the gateway. If no gateway runs, one is started and
ends with the command. None of your files is changed: what `luthien-stream setup` prints is set for this one process.
Its exit code is returned, signals are passed on."""
EPILOG = """\
examples:
  luthien-stream run -- claude
  luthien-stream run -- codex exec "fix the tests"
  luthien-stream run -- python agent.py          any program on the vendors' SDKs
  luthien-stream run --client vercel -- node agent.mjs
  luthien-stream run --print -- claude           only show what would be set
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--client", choices=list(CLIENTS), metavar="CLIENT", help="what the command is, if its name does not say so"
    )
    parser.add_argument("--key", default="", help=f"a gateway key, if `auth:` wants one (default: ${KEY_VARIABLE})")
    parser.add_argument("--print", action="store_true", help="show what would be set and run, and do nothing")
    add_listen_flags(parser)
    add_instance_flags(parser, json=False)
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND ...", help="what to run")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise ConfigError("Name a command: luthien-stream run -- claude")
    client = args.client or client_of(command[0])
    if args.print:
        gateway = gateway_of(instance_or_plan(args))
        sys.stdout.write(shown(_setup(client, gateway), command, gateway))
        return 0
    with running_gateway(args) as instance:
        gateway = gateway_of(instance)
        setup, key = _setup(client, gateway), _key(args.key, gateway)
        changed = changes(setup, os.environ, gateway.url, key)
        return run_in_foreground(words(setup, command), {**os.environ, **changed})


def shown(setup: Setup, command: list[str], gateway: Gateway) -> str:
    """The same as lines for a shell, with a placeholder for the key."""
    changed = changes(setup, os.environ, gateway.url, KEY)
    lines = [f"export {name}={shlex.quote(value)}" for name, value in changed.items()]
    return "\n".join([*lines, shlex.join(words(setup, command))]) + "\n"


def _setup(client: str, gateway: Gateway) -> Setup:
    return CLIENTS[client](gateway) if client else anything(gateway)


def _key(given: str, gateway: Gateway) -> str:
    key = given or os.environ.get(KEY_VARIABLE, "")
    if gateway.mode != "passthrough" and not key:
        raise ConfigError(f"This gateway wants a key of its own: set {KEY_VARIABLE}, or give it with --key")
    return key
