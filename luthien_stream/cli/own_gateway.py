"""A gateway for one command: the one that runs, or an `up` of our own that ends with the command."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from luthien_stream.cli.child import PARENT, role_command
from luthien_stream.cli.common import config_path, data_folder, instance_of, is_running, run_async
from luthien_stream.cli.probe import why_not_ready
from luthien_stream.cli.welcome import url
from luthien_stream.config.instance import Instance, read_instance
from luthien_stream.config.load import load_config
from luthien_stream.errors import ConfigError, LuthienError

START_S = 120.0
"""How long a gateway may take until it serves; the first start makes a database."""
STOP_S = 60.0
"""How long it may take to end its open calls and stop."""
LOOK_S = 0.1
LAST_LINES = 8


class NotStarted(LuthienError):
    """The gateway did not start."""


@contextmanager
def running_gateway(args: argparse.Namespace) -> Iterator[Instance]:
    """Yield a gateway that is ready. Raises `NotStarted`, and `ConfigError` for a configuration that cannot be used."""
    data = data_folder(args)
    found = None if is_running(data) else _elsewhere(args)
    if found is not None:
        yield found
    elif is_running(data):
        yield _wait(data, None)
    else:
        with _started(args, data) as process:
            yield _wait(data, process)


def _elsewhere(args: argparse.Namespace) -> Instance | None:
    """The gateway that a configuration with servers of its own describes, if it answers."""
    path = config_path(args)
    stated = instance_of(load_config(path, os.environ), path)
    return stated if stated is not None and not run_async(why_not_ready(stated.listen)) else None


@contextmanager
def _started(args: argparse.Namespace, data: Path) -> Iterator[subprocess.Popen[bytes]]:
    log = _log(data)
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _say(f"starting the gateway; what it says is in {log}")
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(args, data),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, PARENT: str(os.getpid())},
            start_new_session=True,  # Ctrl-C is the command's alone
        )
    try:
        yield process
    finally:
        _stop(process)


def _command(args: argparse.Namespace, data: Path) -> list[str]:
    words = [*role_command("up"), "--data", str(data)]
    for flag in ("config", "listen", "admin"):
        value = getattr(args, flag)
        words += [f"--{flag}", str(value)] if value else []
    return words


def _wait(data: Path, process: subprocess.Popen[bytes] | None) -> Instance:
    """Wait until what runs in `data` is ready; it is `process`, where that is given."""
    deadline, why = time.monotonic() + START_S, "it has not said where it listens"
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise NotStarted(f"The gateway did not start:\n{_last_lines(data)}")
        if process is None and not is_running(data):
            raise NotStarted(f"The gateway in {data} has just ended: try again")
        instance = _read(data)
        if instance is not None and (process is None or instance.pid == process.pid):
            why = run_async(why_not_ready(instance.listen))
            if not why:
                if process is not None:
                    _say(f"the gateway is ready: {url(instance.listen)}")
                return instance
        time.sleep(LOOK_S)
    raise NotStarted(f"The gateway in {data} is not ready after {START_S:.0f} s: {why}; see its logs folder")


def _read(data: Path) -> Instance | None:
    try:
        return read_instance(data)
    except ConfigError:
        return None  # it writes the file once its servers stand


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _log(data: Path) -> Path:
    return data / "logs" / "up.log"


def _last_lines(data: Path) -> str:
    lines = _log(data).read_text(errors="replace").splitlines()
    return "\n".join(line for line in lines[-LAST_LINES:] if line) or "it said nothing"


def _say(text: str) -> None:
    sys.stderr.write(f"luthien-stream: {text}\n")
