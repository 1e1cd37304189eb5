"""A connection once it stands: bytes out, replies in, one exchange at a time, without a stream and a task in between.

redis-py connects, encrypts and authenticates. A reply that went through its stream reader would cost two more turns of
the event loop: some 4 % of all CPU where chunks come one by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import hiredis

_NOTHING = object()


class Wire(asyncio.Protocol):
    """The protocol of a connection's transport. `make_error` turns the text of a refusal into an exception."""

    def __init__(self, transport: asyncio.Transport, make_error: Callable[[str], Exception]) -> None:
        self._transport = transport
        self._parser = hiredis.Reader(replyError=make_error, notEnoughData=_NOTHING)
        self._replies: list[Any] = []
        self._missing = 0
        self._done: asyncio.Future[list[Any]] | None = None
        self._open = True
        transport.set_protocol(self)

    @property
    def usable(self) -> bool:
        """False once either side has closed it, or something came that nobody asked for."""
        return self._open and not self._transport.is_closing() and not self._parser.has_data()

    def exchange(self, data: bytes, replies: int) -> asyncio.Future[list[Any]]:
        """Send commands and return their replies to come, at least one. It fails with `ConnectionError`."""
        done = asyncio.get_running_loop().create_future()
        if self.usable:
            self._missing, self._done = replies, done
            self._transport.write(data)
        else:
            done.set_exception(ConnectionError("The connection is closed"))
        return done

    def close(self) -> None:
        """Close at once; an exchange under way fails."""
        self._break(ConnectionError("The connection was closed by this process"))
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        try:
            self._parser.feed(data)
            while (reply := self._parser.gets()) is not _NOTHING:
                self._replies.append(reply)
        except hiredis.ProtocolError as error:
            self._break(ConnectionError(f"The server answers garbage ({error})"))
            return
        if len(self._replies) >= self._missing:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._break(ConnectionError(f"The server closed the connection ({exc or 'in good order'})"))

    def _finish(self) -> None:
        done, self._done = self._done, None
        replies, self._replies = self._replies, []
        if done is None or len(replies) > self._missing:
            self._open = False
        if done is not None and not done.done():
            done.set_result(replies[: self._missing])
        self._missing = 1

    def _break(self, error: ConnectionError) -> None:
        self._open = False
        done, self._done = self._done, None
        if done is not None and not done.done():
            done.set_exception(error)
