"""A proxy before a Redis server that loses a reply, or keeps requests back and sends them on much later."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Use as a context manager; `url` is the server's with another socket. A mode holds for connections open now."""

    def __init__(self, url: str, folder: Path) -> None:
        self._server = urlsplit(url)
        self._path = folder / "proxy.sock"
        self.url = urlunsplit(self._server._replace(path=str(self._path)))
        self._pairs: list[_Pair] = []

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

    async def release(self) -> None:
        """Send the requests on that were kept back, and wait until the server has answered."""
        for pair in self._pairs:
            if pair.held:
                pair.losing = True
                pair.server.write(b"".join(pair.held))
                pair.held = None
                await pair.answered.wait()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = _Pair(writer, *await asyncio.open_unix_connection(self._server.path))
        pair.tasks = [asyncio.create_task(pair.requests(reader)), asyncio.create_task(pair.replies())]
        self._pairs.append(pair)


class _Pair:
    def __init__(
        self, client: asyncio.StreamWriter, from_server: asyncio.StreamReader, server: asyncio.StreamWriter
    ) -> None:
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
            else:
                self.server.write(data)

    async def replies(self) -> None:
        while data := await self.from_server.read(1 << 16):
            if self.losing:
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
