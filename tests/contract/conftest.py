"""The three backends that one suite holds to the port, and what each of them cannot do."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator

import pytest
from msgspec import Struct

from luthien_stream.bus import connect
from luthien_stream.bus.memory import MemoryBus
from luthien_stream.bus.port import Acquired, Bus
from luthien_stream.bus.redis.links import Link, connector
from tests.servers import own_valkey, running_fakeredis, shared_valkey, valkey_url

__all__ = ["own_valkey", "shared_valkey", "valkey_url"]

KEPT_WITHOUT_TTL = re.compile(r"ls:(streams|dead|registry:[a-z]+|\{[^}]+\}:(in|inbox|state|open|closed))")
"""Keys that somebody owns: a partition goes with `drop_partition`, an inbox with its edge's `expire_stream`."""


class Features(Struct, frozen=True):
    """What a backend can do beyond the commands."""

    incarnation: bool = True
    """It has a run id and an uptime."""
    nogroup: bool = True
    """It says NOGROUP where a stream is gone."""


class Backend(Struct):
    """A bus under test. `other` is the same log as another process sees it."""

    bus: Bus
    other: Bus
    url: str
    features: Features


@pytest.fixture(params=["memory", "fakeredis", "valkey"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of each backend, empty."""
    if request.param == "fakeredis":
        with running_fakeredis() as url:
            yield url
    else:
        yield "memory" if request.param == "memory" else request.getfixturevalue("valkey_url")


@pytest.fixture
async def backend(url: str) -> AsyncIterator[Backend]:
    """The bus on each backend. At the end no key is left that nobody will ever delete."""
    bus: Bus = MemoryBus() if url == "memory" else connect(url)
    other = bus if url == "memory" else connect(url)
    features = Features(incarnation=False, nogroup=False) if url.startswith("redis:") else Features()
    yield Backend(bus, other, url, features)
    if url != "memory":
        assert await lasting_keys(url) == []
    await bus.close()
    await other.close()


@pytest.fixture
def bus(backend: Backend) -> Bus:
    """The bus of the backend."""
    return backend.bus


async def lasting_keys(url: str) -> list[str]:
    """All keys without a time to live that nobody owns."""
    link = Link(connector(url))
    await link.open()
    (keys,) = await link.call([("KEYS", "*")], 2)
    left = await link.call([("PTTL", key) for key in keys], 2) if keys else []
    await link.close()
    names = [key.decode() for key, ttl in zip(keys, left, strict=True) if ttl == -1]
    return [name for name in names if not KEPT_WITHOUT_TTL.fullmatch(name)]


async def take(bus: Bus, partition: str, worker: str = "w1", lease_ms: int = 60_000) -> Acquired:
    """Acquire a partition that is free."""
    acquired = await bus.acquire(partition, worker, lease_ms=lease_ms)
    assert acquired is not None
    return acquired
