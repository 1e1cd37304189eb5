"""An HTTP proxy that knows CONNECT and absolute URLs, leads all to one server, and remembers what it was asked."""

from __future__ import annotations

import asyncio
from typing import Self


class ConnectProxy:
    """Use as a context manager. `target` is the port on this machine that every tunnel and request ends at."""

    def __init__(self, target: int, *, refuses: bool = False) -> None:
        self.asked: list[str] = []
        """The request lines, with the credential for the proxy behind them."""
        self._target = target
        self._refuses = refuses
        self._pipes: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *headers = head.decode().split("\r\n")
        self.asked += [" ".join([line, *(h for h in headers if h.lower().startswith("proxy-auth"))])]
        if self._refuses:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            writer.close()
            return
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        if line.startswith("CONNECT"):
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            to_server.write(head)
        self._pipes |= {
            asyncio.create_task(_pipe(reader, to_server)),
            asyncio.create_task(_pipe(from_server, writer)),
        }


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # one side broke: the other is told by the close
    finally:
        writer.close()
