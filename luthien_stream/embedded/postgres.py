"""The embedded Postgres: the record of a gateway that was given no database of its own.

The programs are those of the installed wheel, the launcher is ours. One Unix socket and no TCP; the socket is in a
folder of mode 0700, and where the data folder's path is too long for a socket (about 100 bytes), that folder is a short
one in the runtime folder. The data folder comes into being by a rename, so a half-written one never counts.
"""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from urllib.parse import quote

from luthien_stream.embedded.binaries import find_postgres
from luthien_stream.embedded.place import EmbeddedError, Place, write_private
from luthien_stream.embedded.process import ServerProcess

USER = "luthien"
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "50",
    "shared_buffers": "64MB",
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    "jit": "off",
    "log_timezone": "UTC",
    "log_min_error_statement": "panic",  # statements hold what people wrote: keep them out of the log
}


class EmbeddedPostgres:
    """A Postgres server in `folder`. It can be started again after `stop` or `kill`."""

    def __init__(self, folder: Path) -> None:
        self.place = Place(folder, ".s.PGSQL.5432")
        self._process = self._new_process()

    def _new_process(self) -> ServerProcess:
        return ServerProcess("Postgres", self.place, end=signal.SIGINT)

    @property
    def dsn(self) -> str:
        """The asyncpg DSN, password included. Raises `EmbeddedError` before the first start."""
        return f"postgresql://{USER}:{self.place.password}@/postgres?host={quote(str(self.place.run), safe='')}"

    @property
    def pid(self) -> int:
        """The process id. Raises `EmbeddedError` before the first start."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.code

    async def start(self, deadline_s: float = 120.0) -> None:
        """Start it, at first with a new data folder, and wait until it takes connections. Raises `EmbeddedError`."""
        self.place.prepare()
        lock = await self.place.lock(10.0)
        try:
            if not self.place.data.exists():
                await self._make_data(lock)
            programs = find_postgres(self._version())
            (self.place.data / "postmaster.pid").unlink(missing_ok=True)  # stale: we hold the lock
            self._process = self._new_process()
            self._process.spawn([programs / "postgres", *self._arguments()], lock=lock)
        finally:
            os.close(lock)
        await self._process.until(self._answers, deadline_s)

    def _version(self) -> str:
        try:
            return (self.place.data / "PG_VERSION").read_text().strip()
        except OSError:
            raise EmbeddedError(f"{self.place.data} is no Postgres data: move it away and start again") from None

    def _arguments(self) -> list[str]:
        settings = {**SETTINGS, "unix_socket_directories": f'"{self.place.run}"'}
        return ["-D", str(self.place.data), *(f"--{name}={value}" for name, value in settings.items())]

    async def _make_data(self, lock: int) -> None:
        """Run `initdb` on a draft, then rename the draft."""
        draft, password = self.place.home / "data.new", self.place.home / "initdb.password"
        shutil.rmtree(draft, ignore_errors=True)
        password.unlink(missing_ok=True)
        self.place.make(draft)
        write_private(password, self.place.password, self.place.user)
        program: list[str | Path] = [find_postgres() / "initdb", "-D", draft, "--username", USER, "--pwfile", password]
        making = ServerProcess("initdb", self.place, end=signal.SIGKILL)
        try:
            making.spawn([*program, "--auth=scram-sha-256", "--no-locale", "--encoding=UTF8"], lock=lock)
            await making.until(lambda: making.code == 0, 120.0)
        finally:
            making.kill()
            password.unlink(missing_ok=True)
        draft.rename(self.place.data)

    def _answers(self) -> bool:
        """Whether the server has written into its pid file that it takes connections."""
        try:
            lines = (self.place.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"

    async def stop(self, deadline_s: float = 20.0) -> None:
        """End it in good order: open transactions are rolled back, everything committed is on disk."""
        await self._process.stop(deadline_s)

    def kill(self) -> None:
        """End it with SIGKILL; its own children notice and end too."""
        self._process.kill()
