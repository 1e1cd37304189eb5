"""What all commands share: how they find the running instance, what they print, and how they fail."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from luthien_stream.config.instance import Instance, read_instance
from luthien_stream.config.load import DEFAULT_FILE, load_config, policy_folder
from luthien_stream.config.model import Config
from luthien_stream.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")

DEFAULT_DATA = Path(".luthien")
LOCK = "lock"


def add_instance_flags(parser: argparse.ArgumentParser, *, json: bool = True) -> None:
    """Add `--data` and `--config`, by which a command finds the instance, and `--json`."""
    group = parser.add_argument_group("which instance")
    group.add_argument(
        "--data", type=Path, metavar="FOLDER", help=f"folder of the instance (default: {DEFAULT_DATA})", default=None
    )
    add_config_flag(group)
    if json:
        parser.add_argument("--json", action="store_true", help="print one JSON object per line")


def add_config_flag(parser: argparse._ActionsContainer) -> None:
    """Add `--config`."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=None,
        help=f"configuration (default: {DEFAULT_FILE}, if it exists)",
    )


def add_listen_flags(parser: argparse.ArgumentParser) -> None:
    """Add `--listen` and `--admin`, which `up` takes instead of the configuration's."""
    parser.add_argument("--listen", metavar="HOST:PORT", help="where clients connect (default: 127.0.0.1:8000)")
    parser.add_argument("--admin", metavar="HOST:PORT", help="where people and tools connect (default: 127.0.0.1:8001)")


def count(text: str) -> int:
    """The value of a flag that is a whole number above 0."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def data_folder(args: argparse.Namespace) -> Path:
    """The data folder that was named, or the default one."""
    return (args.data or DEFAULT_DATA).absolute()


def config_path(args: argparse.Namespace, instance: Instance | None = None) -> Path | None:
    """The configuration that was named, or the instance's, or `luthien.yaml` if there is one."""
    if args.config is not None:
        return Path(args.config).absolute()
    if instance is not None:
        return Path(instance.config) if instance.config else None
    default = Path(DEFAULT_FILE).absolute()
    return default if default.exists() else None


def own_policies(args: argparse.Namespace) -> Path | None:
    """The folder `workers/` beside the configuration, or here without one; None if there is none."""
    return policy_folder(config_path(args) or Path(DEFAULT_FILE))


def is_running(data: Path) -> bool:
    """Whether an `up` holds this data folder now."""
    try:
        descriptor = os.open(data / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def find_instance(args: argparse.Namespace) -> Instance:
    """The instance that the flags name. Raises `ConfigError` with the way out if there is none.

    It is what runs in the data folder; or what the configuration says, if that names servers of its own. Where both
    are there, what was named by a flag counts.
    """
    data, path = data_folder(args), config_path(args)
    running = is_running(data)
    if running and (args.data is not None or args.config is None):
        return read_instance(data)
    stated = instance_of(load_config(path, os.environ), path)
    if stated is not None:
        return stated
    if not running:
        raise ConfigError(f"Nothing runs in {data}: start it with `luthien-stream up`, or name its folder with --data")
    return read_instance(data)


def instance_of(config: Config, path: Path | None) -> Instance | None:
    """The instance that a configuration with servers of its own describes; None if it relies on embedded ones."""
    if config.redis in ("embedded", "memory") or config.database == "embedded":
        return None
    return Instance(
        pid=os.getpid(),
        listen=config.listen,
        admin=config.admin.listen,
        redis=config.redis,
        database=config.database,
        config=str(path or ""),
    )


def console() -> Console:  # rich takes 80 ms and 7 MB that no role needs
    """Standard output for people: coloured on a terminal only, and wide where it is none."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 200)


def print_json(value: Any) -> None:
    """Print one object on one line."""
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.flush()


def fail(message: str) -> int:
    """Print what went wrong to standard error and return the exit code 1."""
    sys.stderr.write(f"luthien-stream: {message}\n")
    return 1


def note(message: str) -> None:
    """Say something beside the output that is no error."""
    sys.stderr.write(f"({message})\n")
    sys.stderr.flush()


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(coroutine)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)
