"""Where an embedded server lives: its data, socket, password and lock, and the user it runs as.

Normally all of it is in the server's folder below `.luthien/`. A server must not run as root, and `nobody` may not
reach that folder; so for root the data and the socket are below `/var/lib/luthien-stream/<digest of the data folder>/`,
while password and log stay in the folder. No user is created and no mode of a folder that is not ours is changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import pwd
import secrets
import shutil
import stat
import tempfile
import time
from pathlib import Path

import structlog

from luthien_stream.errors import LuthienError

log = structlog.get_logger()

STATE = Path("/var/lib/luthien-stream")
SOCKET_PATH_LIMIT = 100
"""Bytes. The kernel's own limit is 104 on macOS and 108 on Linux."""


class EmbeddedError(LuthienError):
    """An embedded server cannot run. Name servers of your own with `redis:` and `database:` in luthien.yaml."""


def service_user() -> tuple[int, int] | None:
    """The user and group ids that root's servers run as (`nobody`), None if we are not root."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def write_private(path: Path, text: str, user: tuple[int, int] | None = None) -> None:
    """Write a file of mode 0600, for `user` if given, whole or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        if user is not None:
            os.fchown(file.fileno(), *user)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def discard_data(data: Path) -> None:
    """Delete a data folder and what its servers keep elsewhere if we are root. Nothing may run in it."""
    home = STATE / _digest(data.absolute())
    for folder in (home, data) if service_user() else (data,):
        shutil.rmtree(folder, ignore_errors=True)


def _digest(folder: Path) -> str:
    return hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]


class Place:
    """The folders of one server. `folder` is its own folder in the data folder; nothing is made before `prepare`."""

    def __init__(self, folder: Path, socket_name: str) -> None:
        self.folder = folder.absolute()
        self.user = service_user()
        self.home = self.folder if self.user is None else STATE / _digest(self.folder.parent) / self.folder.name
        self.data = self.home / "data"
        self.log = self.folder / "log"
        self.run = self._short_run(socket_name)
        self.socket = self.run / socket_name

    def _short_run(self, socket_name: str) -> Path:
        """The socket's folder: `run`, or one in the runtime folder where the socket's path would be too long."""
        short = f"luthien-{os.geteuid()}-{_digest(self.folder)}"
        runtime = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        choices = [self.home / "run", Path(runtime) / short, Path("/tmp") / short]
        return next(run for run in choices if len(os.fsencode(run / socket_name)) <= SOCKET_PATH_LIMIT)

    @property
    def password(self) -> str:
        """The generated password. Raises `EmbeddedError` before `prepare`, and for an empty one."""
        path = self.folder / "password"
        try:
            password = path.read_text().strip()
        except OSError as error:
            raise EmbeddedError(f"{path} cannot be read ({error.strerror}): start luthien-stream first") from error
        if not password:
            raise EmbeddedError(f"{path} is empty: delete it to begin with new data; the old data is set aside")
        return password

    def prepare(self) -> None:
        """Make the folders and the password. Data without its password is another instance's: it is set aside."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.user is not None:
                self._make_home()
            if not (self.folder / "password").exists():
                self._set_aside()
                write_private(self.folder / "password", secrets.token_urlsafe(24))
            self.make(self.run)
        except OSError as error:
            raise EmbeddedError(f"{error.filename}: {error.strerror}; name a folder of yours with --data") from error
        self._check_own(self.run)
        _ = self.password  # raises where it is empty

    def make(self, folder: Path) -> None:
        """Make a folder that only the server's user (and root) can enter."""
        folder.mkdir(mode=0o700, exist_ok=True)
        if self.user is not None:
            os.chown(folder, *self.user)

    async def lock(self, deadline_s: float) -> int:
        """Take the lock that says whether a server runs here, and return its descriptor for the server to inherit.

        The kernel frees it when the last process that holds it is gone, so it is never stale. A server that is just
        ending is waited for. Raises `EmbeddedError` if another one stays.
        """
        descriptor = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        end = time.monotonic() + deadline_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            except BlockingIOError:
                if time.monotonic() > end:
                    os.close(descriptor)
                    raise EmbeddedError(
                        f"A server still runs in {self.home}: stop that luthien-stream, or name another --data"
                    ) from None
            await asyncio.sleep(0.05)

    def discard(self) -> None:
        """Delete all of it, data included. The server must have stopped."""
        for folder in {self.home, self.run, self.folder}:
            shutil.rmtree(folder, ignore_errors=True)
        if self.user is not None:
            with contextlib.suppress(OSError):
                self.home.parent.rmdir()

    def _make_home(self) -> None:
        for folder in (STATE, self.home.parent, self.home):
            folder.mkdir(mode=0o711, parents=True, exist_ok=True)
            self._check_own(folder)

    def _check_own(self, folder: Path) -> None:
        """Refuse a folder that others own or may write to: sockets and data are to lie in it."""
        facts = folder.lstat()
        ours = {os.geteuid()} if self.user is None else {0, self.user[0]}
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid not in ours or facts.st_mode & 0o022:
            raise EmbeddedError(f"{folder} is another user's or open to others' writing: remove it and start again")

    def _set_aside(self) -> None:
        if self.data.exists():
            old = self.home / "data.old"
            shutil.rmtree(old, ignore_errors=True)
            self.data.rename(old)
            log.warning("data_set_aside", reason="its password is missing", moved_to=str(old))
