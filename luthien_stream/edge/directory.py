"""Which calls there are and where their answers lie, for clients that come back: for all edges, and for a while.

Nothing of a credential is written: a caller is an HMAC under a secret of the log's, a request a digest of its bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable

import msgspec
import structlog
from msgspec import Struct

from luthien_stream.bus.port import Bus
from luthien_stream.config.model import FormatName
from luthien_stream.errors import BusError
from luthien_stream.events.log import Header

log = structlog.get_logger()

OPEN_MS = 3600 * 1000
"""How long a call is known that never says that it is over: no call may take longer."""
SECRET_MS = 365 * 24 * 3600 * 1000
PERIOD_S = 0.05
"""What is new is written together, so often."""
PAUSE_S = 1.0
"""How long it waits where that could not be."""
SECRET_S = 60.0
"""How often it is seen to that the log has the secret."""
QUEUED = 10_000
"""Calls that may wait to be written; more are known to this edge only."""
_SECRET = "directory-secret"


class Known(Struct, frozen=True):
    """Where the answer to a call lies: in the inbox of `edge`, from the entry `since` on."""

    call: str
    edge: str
    since: str
    caller: str
    format: FormatName


_KNOWN = msgspec.msgpack.Decoder(Known)


class Directory:
    """One edge's view of it; what other edges wrote is found in the log. Run `run` as a task."""

    def __init__(self, bus: Bus, kept_s: float) -> None:
        """`kept_s`: how long a call is known after its end."""
        self._bus = bus
        self._kept_ms = int(kept_s * 1000)
        self._secret = b""
        self._own: dict[str, Known] = {}
        self._retries: dict[str, str] = {}
        self._new: dict[str, bytes] = {}
        self._old: dict[str, bytes] = {}

    async def run(self) -> None:
        """Write what is new until cancelled."""
        again = time.monotonic() + SECRET_S
        while True:
            written = await self.write()
            if time.monotonic() > again and await self.keep_secret():
                again = time.monotonic() + SECRET_S
            await asyncio.sleep(PERIOD_S if written else PAUSE_S)

    async def keep_secret(self) -> bool:
        """Give a log that has lost its data the secret again, or take the one that another edge gave it; False if that
        cannot be done now."""
        try:
            self._secret = await self._bus.claim_value(_SECRET, self._secret or _new_secret(), ttl_ms=SECRET_MS)
        except BusError:
            return False
        return True

    async def begin(self) -> None:
        """Get the log's secret, unless that is done. Raises `BusError`."""
        if not self._secret:
            self._secret = await self._bus.claim_value(_SECRET, _new_secret(), ttl_ms=SECRET_MS)

    async def write(self) -> bool:
        """Write what is new; False, on record, if that cannot be, and it waits for the next time."""
        try:
            await self._write()
        except BusError as error:
            log.warning("directory_not_written", values=len(self._new) + len(self._old), error=type(error).__name__)
            return False
        return True

    async def _write(self) -> None:
        for queue, ttl_ms in ((self._new, OPEN_MS), (self._old, self._kept_ms)):
            written = dict(queue)
            if written:
                await self._bus.put_values(written, ttl_ms=ttl_ms)
            for name, value in written.items():
                if queue.get(name) is value:
                    del queue[name]

    def caller(self, credentials: Iterable[Header]) -> str:
        """Who calls, by credentials; empty without any, and before `begin`."""
        sent = msgspec.msgpack.encode(sorted(credentials))
        if not self._secret or sent == b"\x90":
            return ""
        return hmac.new(self._secret, sent, hashlib.sha256).hexdigest()

    def opened(self, known: Known, retry: str) -> None:
        """A call has begun. `retry` is what a repeated request for it would look like, empty if none will come."""
        if not known.caller:
            return
        self._own[known.call] = known
        self._put(self._new, f"call:{known.call}", msgspec.msgpack.encode(known))
        if retry:
            self._retries[retry] = known.call
            self._old.pop(f"retry:{retry}", None)
            self._put(self._new, f"retry:{retry}", known.call.encode())

    def closed(self, call: str, retry: str, *, well: bool) -> None:
        """A call is over. Only one that ended `well` is worth a repeated request."""
        known = self._own.pop(call, None)
        if known is None:
            return
        self._put(self._old, f"call:{call}", msgspec.msgpack.encode(known))
        if retry and self._retries.get(retry) == call:
            del self._retries[retry]
            self._put(self._old, f"retry:{retry}", call.encode() if well else b"")

    async def find(self, call: str) -> Known | None:
        """Where a call's answer lies; None if it is not known. Raises `BusError`."""
        if call in self._own:
            return self._own[call]
        raw = self._old.get(f"call:{call}") or await self._bus.get_value(f"call:{call}")
        return _KNOWN.decode(raw) if raw else None

    async def repeated(self, retry: str) -> Known | None:
        """The call that a repeated request asks for again; None if there is none. Raises `BusError`."""
        call = self._retries.get(retry)
        if call is None:
            name = f"retry:{retry}"
            raw = self._old[name] if name in self._old else await self._bus.get_value(name)
            call = raw.decode() if raw else ""
        return await self.find(call) if call else None

    @staticmethod
    def _put(queue: dict[str, bytes], name: str, value: bytes) -> None:
        if len(queue) < QUEUED:
            queue[name] = value


def _new_secret() -> bytes:
    return secrets.token_bytes(32)


def retry_of(caller: str, path: str, body: bytes) -> str:
    """What a request looks like when it is sent again: the same body by the same caller."""
    if not caller:
        return ""
    return hashlib.sha256(b"\0".join((caller.encode(), path.encode(), body))).hexdigest()
