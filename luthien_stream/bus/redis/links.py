"""Connections to the server: the only file that knows redis-py, with `wire` for what goes over them.

redis-py makes the connections (URL, TLS, authentication); its client and pool are not used: with commands as small as
ours those cost four times as much as the connection itself. Nothing is ever sent twice here: whoever gets
`BusAmbiguous` decides.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Protocol, cast

from hiredis import pack_command
from redis import Redis
from redis import exceptions as refusals
from redis._parsers import BaseParser
from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from luthien_stream.bus.redis.wire import Wire
from luthien_stream.errors import BusAmbiguous, BusError, BusFull, BusUnavailable, ConfigError

Command = tuple[str | bytes | int, ...]
Reply = Any
"""What hiredis makes of a reply of RESP2: bytes, int, None, a list of these, or an exception."""

_pack = cast(Callable[[Command], bytes], pack_command)

COMMAND_DEADLINE_S = 2.0

_NOT_EXECUTED = (
    refusals.ReadOnlyError,
    refusals.BusyLoadingError,
    refusals.NoPermissionError,
    refusals.AuthenticationError,
    refusals.MasterDownError,
    refusals.TryAgainError,
    refusals.ClusterDownError,
)


class _Connection(Protocol):
    """What is used of redis-py's connection."""

    _writer: asyncio.StreamWriter | None
    """Its transport is taken over by a `Wire` once it stands: there is no public way to it."""

    async def connect(self) -> None: ...
    async def disconnect(self, nowait: bool = False) -> None: ...


def connector(url: str) -> Callable[[], _Connection]:
    """Return what makes connections to a redis-py URL. Raises `ConfigError`."""
    try:
        options = dict(parse_url(url))
    except ValueError as error:
        raise ConfigError(f"`redis:` is no usable URL: {error}") from error
    make = cast(Callable[..., _Connection], options.pop("connection_class", Connection))
    options.pop("max_connections", None)
    options |= {"protocol": 2, "driver_info": None, "decode_responses": False, "health_check_interval": 0}
    # Deadlines are ours: redis-py's own cost more than the command.
    options |= {"socket_timeout": None, "socket_connect_timeout": COMMAND_DEADLINE_S, "retry": Retry(NoBackoff(), 0)}
    return lambda: make(**options)


def call_once(url: str, *command: str | int, deadline_s: float = COMMAND_DEADLINE_S) -> None:
    """Send one command over a connection of its own, without an event loop. Raises `BusError`."""
    try:
        with Redis.from_url(
            url, socket_timeout=deadline_s, socket_connect_timeout=deadline_s, retry=None, protocol=2
        ) as client:
            client.execute_command(*command)
    except (refusals.RedisError, OSError) as error:
        raise BusAmbiguous(f"The log (Redis) did not take it: {error}") from error


def refusal(error: refusals.RedisError) -> BusError:
    """Return what a refusal of the server means here."""
    if isinstance(error, refusals.OutOfMemoryError):
        return BusFull()
    if isinstance(error, _NOT_EXECUTED) or str(error).startswith(("NOAUTH", "BUSY ")):
        return BusUnavailable(f"The log (Redis) refuses commands: {error}")
    return BusError(f"The log (Redis) refused a command: {error}")


class Link:
    """One connection. Commands of one `call` leave in one write; their replies come back in order."""

    def __init__(self, make: Callable[[], _Connection]) -> None:
        self._connection = make()
        self._wire: Wire | None = None
        self.run_id = ""
        self.due = math.inf
        """When the call in hand must have ended (monotonic seconds); whoever owns the link closes it then."""

    @property
    def usable(self) -> bool:
        """Whether it is connected, as far as one can see without a round trip."""
        return self._wire is not None and self._wire.usable

    async def open(self) -> None:
        """Connect anew and learn the server's incarnation. Raises `BusUnavailable`."""
        await self.close()
        try:
            async with asyncio.timeout(COMMAND_DEADLINE_S):
                await self._connection.connect()
                writer = self._connection._writer
                if writer is None:
                    raise BusAmbiguous
                self._wire = Wire(cast(asyncio.Transport, writer.transport), BaseParser.parse_error)
                (info,) = await self.call([("INFO", "server")], COMMAND_DEADLINE_S)
        except (refusals.RedisError, OSError, BusAmbiguous) as error:
            await self.close()
            raise BusUnavailable(f"{BusUnavailable.__doc__} ({error})") from error
        self.run_id = find(info, b"run_id")

    async def call(self, commands: Sequence[Command], deadline_s: float) -> list[Reply]:
        """Send and wait for all replies; refusals are returned, not raised. Raises `BusAmbiguous`, and closes."""
        if not commands:
            return []
        if self._wire is None:
            raise BusAmbiguous
        packed = [_pack(command) for command in commands]
        self.due = monotonic() + deadline_s
        try:
            replies = await self._wire.exchange(packed[0] if len(packed) == 1 else b"".join(packed), len(packed))
            for reply in replies:
                if isinstance(reply, refusals.ConnectionError):  # the server says it will not go on
                    raise reply
        except (refusals.RedisError, OSError) as error:
            await self.close()
            if isinstance(error, _NOT_EXECUTED):
                raise refusal(error) from error
            raise BusAmbiguous from error
        except asyncio.CancelledError:
            await self.close()  # its replies are still to come
            raise
        else:
            return replies
        finally:
            self.due = math.inf

    async def close(self) -> None:
        """Close at once; a call that waits ends with `BusAmbiguous`."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        await self._connection.disconnect(nowait=True)


def find(info: Reply, field: bytes) -> str:
    """Return one field of INFO, empty where the server has no INFO."""
    for line in info.splitlines() if isinstance(info, bytes) else ():
        name, _, value = line.partition(b":")
        if name == field:
            return str(value, "ascii")
    return ""


def is_missing_script(reply: Reply) -> bool:
    """Whether the server does not know a script: it was not executed."""
    return isinstance(reply, refusals.NoScriptError)


def is_existing_group(reply: Reply) -> bool:
    """Whether a group was not made because it is there."""
    return isinstance(reply, refusals.ResponseError) and str(reply).startswith("BUSYGROUP")


def is_missing_group(reply: Reply) -> bool:
    """Whether a stream or its group was deleted, before a read or under it."""
    return isinstance(reply, refusals.ResponseError) and str(reply).startswith(("NOGROUP", "UNBLOCKED"))


def is_missing_key(reply: Reply) -> bool:
    """Whether there is nothing under a key that was asked about."""
    return isinstance(reply, refusals.ResponseError) and "no such key" in str(reply)


def checked(reply: Reply) -> Reply:
    """Return a reply. Raises `BusFull`, `BusUnavailable` or `BusError` where it is a refusal."""
    if isinstance(reply, refusals.RedisError):
        raise refusal(reply)
    return reply
