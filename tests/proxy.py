"""A proxy before a Redis server that loses or withholds a reply, or keeps requests back and sends them on later."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Use as a context manager; `url` is the server's with another socket. A mode holds for connections open now."""

    def __init__(self, url: str, folder: Path) -> None:
        self._server = urlsplit(url)
        self._path = folder / "proxy.sock"
        self.url = urlunsplit(self._server._replace(path=str(self._path)))
        self._pairs: list[_Pair] = []
        self._trap = _Trap()

    async def __aenter__(self) -> Proxy:
        self._listener = await asyncio.start_unix_server(self._accept, self._path)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._listener.close()
        for pair in self._pairs:
            pair.close()
        await asyncio.gather(*(task for pair in self._pairs for task in pair.tasks), return_exceptions=True)

    def lose_replies(self) -> None:
        """Let the next request through, and break the connection instead of replying."""
        for pair in self._pairs:
            pair.losing = True

    def hold_requests(self) -> None:
        """Keep the next request back and break the connection; the request goes on with `release`."""
        for pair in self._pairs:
            pair.held = []

    def withhold_reply(self, to: re.Pattern[bytes]) -> asyncio.Event:
        """Execute the next such request, but never reply on its connection again. The event is set when it is done."""
        self._trap.pattern, self._trap.executed = to, asyncio.Event()
        return self._trap.executed

    async def release(self) -> None:
        """Send the requests on that were kept back, and wait until the server has answered."""
        for pair in self._pairs:
            if pair.held:
                pair.losing = True
                pair.server.write(b"".join(pair.held))
                pair.held = None
                await pair.answered.wait()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = _Pair(self._trap, writer, *await asyncio.open_unix_connection(self._server.path))
        pair.tasks = [asyncio.create_task(pair.requests(reader)), asyncio.create_task(pair.replies())]
        self._pairs.append(pair)


class _Trap:
    """Catches the first connection that sends what it waits for."""

    def __init__(self) -> None:
        self.pattern: re.Pattern[bytes] | None = None
        self.executed = asyncio.Event()

    def catches(self, data: bytes) -> bool:
        if self.pattern is None or not self.pattern.search(data):
            return False
        self.pattern = None
        return True


class _Pair:
    def __init__(
        self,
        trap: _Trap,
        client: asyncio.StreamWriter,
        from_server: asyncio.StreamReader,
        server: asyncio.StreamWriter,
    ) -> None:
        self.trap = trap
        self.caught: asyncio.Event | None = None
        self.client, self.from_server, self.server = client, from_server, server
        self.losing = False
        self.held: list[bytes] | None = None
        self.answered = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def requests(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(1 << 16):
            if self.held is not None:
                self.held.append(data)
                self.client.close()
                continue
            if self.trap.catches(data):
                self.caught = self.trap.executed
            self.server.write(data)

    async def replies(self) -> None:
        while data := await self.from_server.read(1 << 16):
            if self.caught is not None:
                self.caught.set()
            elif self.losing:
                self.answered.set()
                self.client.close()
            else:
                self.client.write(data)
        self.client.close()

    def close(self) -> None:
        self.client.close()
        self.server.close()
        for task in self.tasks:
            task.cancel()
