"""A server as one process sees it: a few connections for commands, one for each reader, and the loaded scripts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic

from luthien_stream.bus.redis.links import (
    COMMAND_DEADLINE_S,
    Command,
    Link,
    Reply,
    checked,
    connector,
    is_missing_script,
)
from luthien_stream.bus.redis.scripts import Scripts
from luthien_stream.errors import BusError, BusUnavailable

LINKS = 8
"""Commands of one process that may be on their way at once."""
WATCH_S = 0.25
"""How often deadlines are looked at. A timer for each command would cost more than the rest of our code."""

Check = Callable[[str], None]
"""Gets the server's `run_id` before a command is sent, and may refuse to send it."""


def _accept(run_id: str) -> None:
    """No check."""


class Server:
    """Commands go over whichever connection is free. A connection found closed is replaced before anything is sent."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.scripts = Scripts()
        self.closed = False
        self._make = connector(url)
        self._free: asyncio.LifoQueue[Link] = asyncio.LifoQueue()
        for _ in range(LINKS):
            self._free.put_nowait(Link(self._make))
        self._open: set[Link] = set()
        self._loaded: set[str] = set()
        self._watch: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Future[None]] = set()

    async def call(self, *commands: Command, check: Check = _accept) -> list[Reply]:
        """Send commands in one write; refusals are raised. Raises `BusError`."""
        return [checked(reply) for reply in await self.try_call(*commands, check=check)]

    async def try_call(self, *commands: Command, check: Check = _accept) -> list[Reply]:
        """Send commands in one write; refusals are returned as exceptions. Raises `BusUnavailable`, `BusAmbiguous`."""
        if not commands:
            return []
        link = await self._take() if self._free.empty() else self._free.get_nowait()
        try:
            await self.connect(link)
            check(link.run_id)
            return await link.call(commands, COMMAND_DEADLINE_S)
        finally:
            self._free.put_nowait(link)

    async def script(self, name: str, keys: Sequence[str], *args: str | bytes | int) -> Reply:
        """Run a script. Raises `BusError`."""
        return await self.run(lambda scripts: scripts.command(name, keys, *args))

    async def run(self, make: Callable[[Scripts], Command]) -> Reply:
        """Run the script that `make` writes the command of. Raises `BusError`."""
        return checked(await self.try_run(make))

    async def try_run(self, make: Callable[[Scripts], Command]) -> Reply:
        """As `run`, but a refusal is returned. A script that the server does not know is loaded first."""
        if not self._loaded:
            await self.call(("PING",))  # connects, which loads them
        (reply,) = await self.try_call(make(self.scripts))
        if is_missing_script(reply):
            self._loaded.clear()
            link = self.link()
            await self.connect(link)
            await self.drop(link)
            (reply,) = await self.try_call(make(self.scripts))
        return reply

    def link(self) -> Link:
        """Return a new link for a loop of its own; `connect` before each call, `drop` at the end."""
        return Link(self._make)

    async def connect(self, link: Link) -> None:
        """Make a link usable. Raises `BusUnavailable`."""
        if link.usable:
            return
        if self.closed:
            raise BusUnavailable("The connection to the log (Redis) was closed by this process")
        self._open.add(link)
        await link.open()
        if self._watch is None:
            self._look()
        if link.run_id not in self._loaded:
            try:
                await self.scripts.load(link)
            except BusError:
                await link.close()  # else it would pass for usable
                raise
            self._loaded.add(link.run_id)

    async def drop(self, link: Link) -> None:
        """Close a link for good."""
        self._open.discard(link)
        await link.close()

    async def close(self) -> None:
        """Close everything; what waits ends with an error."""
        self.closed = True
        if self._watch is not None:
            self._watch.cancel()
        for link in list(self._open):
            await self.drop(link)

    async def _take(self) -> Link:
        try:
            async with asyncio.timeout(COMMAND_DEADLINE_S):
                return await self._free.get()
        except TimeoutError:
            raise BusUnavailable("All connections to the log (Redis) were busy for 2 s: it is too slow") from None

    def _look(self) -> None:
        """Close the links whose deadline has passed: their calls end with `BusAmbiguous`."""
        for link in self._open:
            if link.due < monotonic():
                closing = asyncio.ensure_future(link.close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
        self._watch = asyncio.get_running_loop().call_later(WATCH_S, self._look)
