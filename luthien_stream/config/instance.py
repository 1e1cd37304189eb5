"""Where the running instance is: a file in the data folder that `up` writes and every other command reads."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct

from luthien_stream.errors import ConfigError

FILE = "instance.json"
SOCKET = "upstream.sock"
SOCKET_PATH_LIMIT = 100
"""Bytes. The kernel's own limit is 104 on macOS and 108 on Linux."""


class Instance(Struct, frozen=True):
    """What a child or a command needs to join. The file is readable by its owner only: the URLs hold passwords."""

    pid: int
    listen: str
    admin: str
    redis: str
    """A redis-py URL: `redis://`, `rediss://` or `unix://`; `memory` if all roles run in one process."""
    database: str
    """A PostgreSQL DSN for asyncpg, or `none`."""
    config: str = ""
    """Absolute path of the configuration file, empty if there is none."""


def write_instance(data: Path, instance: Instance) -> None:
    """Write the file with mode 0600, whole or not at all."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = data / f"{FILE}.{instance.pid}"
    draft.touch(mode=0o600)
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(instance), indent=2))
    draft.replace(data / FILE)


def read_instance(data: Path) -> Instance:
    """Return what runs in `data`. Raises `ConfigError` with the way out if nothing does."""
    try:
        return msgspec.json.decode((data / FILE).read_bytes(), type=Instance)
    except FileNotFoundError:
        raise ConfigError(
            f"Nothing runs in {data}: start it with `luthien-stream up`, or name its folder with --data"
        ) from None
    except (msgspec.MsgspecError, PermissionError) as error:
        raise ConfigError(f"{data / FILE} cannot be read ({error}): stop luthien-stream and start it again") from error


def config_of(instance: Instance) -> Path | None:
    """The configuration file, None if there is none."""
    return Path(instance.config) if instance.config else None


def upstream_socket(data: Path) -> Path:
    """Where the litellm server of an instance listens: in `run`, or in a temporary folder if that path is too long."""
    data = data.absolute()
    path = data / "run" / SOCKET
    if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT:
        return path
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"luthien-{os.geteuid()}-{digest}" / SOCKET


def make_private(folder: Path) -> None:
    """Make a folder that only this user can enter. Raises `ConfigError` where it is there and another's, or open."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o077 or folder.is_symlink():
        raise ConfigError(f"{folder} can be entered by others: remove it, or name another folder with --data")
