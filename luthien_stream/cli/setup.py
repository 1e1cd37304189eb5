"""`luthien-stream setup`: what to set for a client so that it talks to this gateway."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from luthien_stream.cli.common import add_instance_flags, config_path, find_instance, print_json
from luthien_stream.cli.welcome import url
from luthien_stream.clients import render
from luthien_stream.clients.catalogue import CLIENTS, setups
from luthien_stream.clients.model import Gateway
from luthien_stream.config.instance import Instance
from luthien_stream.config.load import load_config
from luthien_stream.errors import ConfigError

HELP = """Print what to set for a client: environment variables, lines for its configuration file, and the switches that
are worth knowing, with the reason. Nothing is changed. Without a client: the list of those that are known. The gateway
itself says the same at `/setup`."""
EPILOG = """\
examples:
  luthien-stream setup                       the list
  luthien-stream setup claude
  eval "$(luthien-stream setup openai-python --shell)"
  luthien-stream run -- claude               sets it all and starts the agent
"""
MORE = "One of them:  luthien-stream setup CLIENT\nSet and start it:  luthien-stream run -- COMMAND ..."


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("client", nargs="?", choices=list(CLIENTS), metavar="CLIENT", help="one of the list")
    parser.add_argument("--shell", action="store_true", help="print lines for a POSIX shell to `eval`")
    add_instance_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    gateway = gateway_of(instance_or_plan(args))
    if args.shell and not args.client:
        raise ConfigError("--shell needs a client: luthien-stream setup CLIENT --shell")
    if not args.client:
        if args.json:
            for setup in setups(gateway):
                print_json(render.as_object(setup, gateway))
        else:
            sys.stdout.write(render.overview(gateway, MORE))
        return 0
    setup = CLIENTS[args.client](gateway)
    if args.json:
        print_json(render.as_object(setup, gateway))
    else:
        sys.stdout.write(render.shell(setup) if args.shell else render.text(setup, gateway))
    return 0


def gateway_of(instance: Instance) -> Gateway:
    """What clients need to know of a running instance."""
    config = load_config(Path(instance.config) if instance.config else None, os.environ)
    return Gateway(url(instance.listen), config.auth.mode)


def instance_or_plan(args: argparse.Namespace) -> Instance:
    """What runs; else what the configuration says would run."""
    try:
        return find_instance(args)
    except ConfigError:
        path = config_path(args)
        config = load_config(path, os.environ)
        sys.stderr.write("luthien-stream: nothing runs yet; this is what `luthien-stream up` would listen on\n")
        return Instance(
            pid=0,
            listen=config.listen,
            admin=config.admin.listen,
            redis=config.redis,
            database=config.database,
            config=str(path or ""),
        )
