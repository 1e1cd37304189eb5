"""Claims of `up`: the data folder, by a lock that the kernel frees when the process is gone, and the ports."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from luthien_stream.cli.common import LOCK
from luthien_stream.config.instance import FILE
from luthien_stream.config.model import split_address
from luthien_stream.errors import ConfigError

PATIENCE_S = 2.0
"""A command that looks whether `up` runs holds the lock for a moment; an `up` that is ending needs a little longer."""


@contextmanager
def hold(data: Path) -> Iterator[None]:
    """Hold the data folder. Raises `ConfigError` if another `up` does, or if the folder cannot be used."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(data / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(f"{data} cannot be used ({error.strerror}): name a folder of yours with --data") from error
    try:
        _lock(descriptor, data)
        yield
        (data / FILE).unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, data: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise ConfigError(f"luthien-stream already runs in {data}: stop it, or name another --data") from None
            time.sleep(0.05)
        else:
            return


def claim(address: str, flag: str) -> str:
    """The address with its real port (0 chooses a free one). Raises `ConfigError` if something listens there."""
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(f"{address} {_why_not(error)} with {flag}") from error
        port = probe.getsockname()[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _why_not(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "is in use: stop what listens there, or name another"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "is not open to this user: name a port from 1024 on"
    return f"is no address of this machine ({error.strerror}): name one, say 127.0.0.1:8000,"
