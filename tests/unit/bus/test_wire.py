"""Replies over a real socket, in any pieces, and all ways in which a connection becomes useless."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from luthien_stream.bus.redis.wire import Wire
from tests.wait import wait_until

REPLIES = b"+OK\r\n:7\r\n$-1\r\n-BUSYGROUP there is one\r\n*2\r\n$1\r\na\r\n:1\r\n"


class Refusal(Exception):
    """What the text of a refusal is made into."""


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Wire, socket.socket]]:
    """A wire and the server's end of it."""
    near, far = socket.socketpair()
    far.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
    wire = Wire(transport, Refusal)
    with far:
        yield wire, far
    wire.close()
    await wait_until(lambda: near.fileno() == -1)


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_replies_come_back_in_order_however_they_are_cut(size: int) -> None:
    """A refusal is a reply like any other."""
    async with connected() as (wire, far):
        loop = asyncio.get_running_loop()
        for _ in range(2):
            replies = wire.exchange(b"five commands", 5)
            assert await loop.sock_recv(far, 100) == b"five commands"
            for at in range(0, len(REPLIES), size):
                await loop.sock_sendall(far, REPLIES[at : at + size])
            ok, number, nothing, refused, several = await replies
            assert (ok, number, nothing, several) == (b"OK", 7, None, [b"a", 1])
            assert str(refused) == "BUSYGROUP there is one"
            assert isinstance(refused, Refusal)
        assert wire.usable


@pytest.mark.parametrize("said", [b"+OK\r\n+and more\r\n", b"what?\r\n", b""])
async def test_a_connection_that_cannot_be_trusted_is_not_used_again(said: bytes) -> None:
    """More replies than commands, garbage, the end."""
    async with connected() as (wire, far):
        reply = wire.exchange(b"one command", 1)
        await asyncio.get_running_loop().sock_sendall(far, said)
        if not said:
            far.close()
        if said.startswith(b"+"):
            assert await reply == [b"OK"]
        else:
            with pytest.raises(ConnectionError):
                await reply
        assert not wire.usable
        with pytest.raises(ConnectionError):
            await wire.exchange(b"another", 1)


@pytest.mark.parametrize("said", [b"+unasked\r\n", b"+unas"])
async def test_what_nobody_asked_for_is_no_reply_to_what_follows(said: bytes) -> None:
    """Not even the first part of it."""
    async with connected() as (wire, far):
        await asyncio.get_running_loop().sock_sendall(far, said)
        await wait_until(lambda: not wire.usable)
        with pytest.raises(ConnectionError):
            await wire.exchange(b"a command", 1)


async def test_closing_ends_an_exchange() -> None:
    """Whoever waits is told at once."""
    async with connected() as (wire, _):
        reply = wire.exchange(b"one command", 1)
        wire.close()
        with pytest.raises(ConnectionError):
            await reply
