"""The embedded Valkey: the log of a gateway that was given no Redis of its own.

Append-only with a sync every second, nothing evicted, one Unix socket and no TCP. The socket is in a folder of mode
0700; where the data folder's path is too long for a socket (about 100 bytes), that folder is a short one in the runtime
folder.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from pathlib import Path

from luthien_stream.embedded.binaries import find_valkey
from luthien_stream.embedded.place import Place
from luthien_stream.embedded.process import ServerProcess

CONFIGURATION = """\
port 0
unixsocket "{socket}"
unixsocketperm 700
requirepass "{password}"
dir "{data}"
appendonly yes
appendfsync everysec
aof-load-truncated yes
save ""
maxmemory {maxmemory}
maxmemory-policy noeviction
io-threads 1
daemonize no
loglevel notice
"""


class EmbeddedValkey:
    """A Valkey server in `folder`, `maxmemory` in bytes. It can be started again after `stop` or `kill`."""

    def __init__(self, folder: Path, *, maxmemory: int = 1 << 30) -> None:
        self.place = Place(folder, "valkey.sock")
        self._maxmemory = maxmemory
        self._process = self._new_process()

    def _new_process(self) -> ServerProcess:
        return ServerProcess("Valkey", self.place, end=signal.SIGTERM)

    @property
    def url(self) -> str:
        """The redis-py URL, password included. Raises `EmbeddedError` before the first start."""
        return f"unix://:{self.place.password}@{self.place.socket}"

    @property
    def pid(self) -> int:
        """The process id. Raises `EmbeddedError` before the first start."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.code

    async def start(self, deadline_s: float = 60.0) -> None:
        """Start it and wait until it has loaded its data and answers. Raises `EmbeddedError`."""
        program = find_valkey()
        self.place.prepare()
        lock = await self.place.lock(10.0)
        try:
            self.place.make(self.place.data)
            self._process = self._new_process()
            self._process.spawn([program, "-"], lock=lock, text=self._configuration())
        finally:
            os.close(lock)
        await self._process.until(self._answers, deadline_s)

    def _configuration(self) -> str:
        place = self.place
        return CONFIGURATION.format(
            socket=place.socket, password=place.password, data=place.data, maxmemory=self._maxmemory
        )

    def _answers(self) -> bool:
        """Whether it answers a PING; while it loads its data it says so instead."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            connection.connect(str(self.place.socket))
            connection.sendall(f"AUTH {self.place.password}\r\nPING\r\nQUIT\r\n".encode())
            with connection.makefile("rb") as answer:
                return b"+PONG" in answer.read()
        return False

    async def stop(self, deadline_s: float = 10.0) -> None:
        """End it in good order: everything written is on disk."""
        await self._process.stop(deadline_s)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._process.kill()
