"""Bodies, heartbeats, dead letters: what processes keep beside the streams, and for how long."""

from __future__ import annotations

import pytest

from luthien_stream.bus.port import START, Bus
from luthien_stream.errors import BodyMissing
from tests.contract.conftest import Backend
from tests.wait import wait_until

HOUR_MS = 3_600_000


async def test_bodies(bus: Bus) -> None:
    """A body is any bytes under its digest, until its time has passed; a missing one is a typed error."""
    body = bytes(range(256)) * 200
    await bus.put_body("ab", body, ttl_ms=HOUR_MS)
    await bus.put_body("ab", body, ttl_ms=10)
    assert await bus.get_body("ab") == body
    with pytest.raises(BodyMissing):
        await bus.get_body("cd")


async def test_bodies_live_as_long_as_somebody_touches_them(bus: Bus) -> None:
    """Storing again and touching prolong, and never shorten; without either the body goes."""
    await bus.put_body("touched", b"x", ttl_ms=200)
    await bus.put_body("again", b"x", ttl_ms=200)
    await bus.put_body("left", b"x", ttl_ms=200)
    await bus.touch_bodies(["touched", "missing"], ttl_ms=HOUR_MS)
    await bus.touch_bodies([], ttl_ms=HOUR_MS)
    await bus.put_body("again", b"x", ttl_ms=HOUR_MS)
    await bus.touch_bodies(["again"], ttl_ms=1)

    async def gone() -> bool:
        try:
            await bus.get_body("left")
        except BodyMissing:
            return True
        return False

    await wait_until(gone)
    assert [await bus.get_body(ref) for ref in ("touched", "again")] == [b"x", b"x"]


async def test_values(backend: Backend) -> None:
    """A value is there for all processes until it is dropped, replaced or its time has passed."""
    bus, other = backend.bus, backend.other
    await bus.put_values({"a": b"1", "b": bytes(range(256))}, ttl_ms=HOUR_MS)
    await bus.put_values({"b": b"2"}, ttl_ms=HOUR_MS)
    await bus.put_values({"short": b"3"}, ttl_ms=30)
    assert [await other.get_value(name) for name in ("a", "b", "missing")] == [b"1", b"2", None]
    await other.drop_value("a")
    await other.drop_value("missing")

    async def gone() -> bool:
        return await bus.get_value("short") is None

    await wait_until(gone)
    assert [await bus.get_value(name) for name in ("a", "b")] == [None, b"2"]


async def test_the_first_claim_of_a_value_counts(backend: Backend) -> None:
    """Until its time has passed; all get the same one."""
    bus, other = backend.bus, backend.other
    assert await bus.claim_value("secret", b"first", ttl_ms=HOUR_MS) == b"first"
    assert await other.claim_value("secret", b"second", ttl_ms=HOUR_MS) == b"first"
    await bus.drop_value("secret")
    assert await other.claim_value("secret", b"second", ttl_ms=HOUR_MS) == b"second"


async def test_heartbeats(backend: Backend) -> None:
    """A process is alive with its newest facts as long as it beats, and no longer than that; roles are apart."""
    bus, other = backend.bus, backend.other
    await bus.beat("worker", "w1", {"stages": "main@1"}, ttl_ms=HOUR_MS)
    await bus.beat("worker", "w1", {"stages": "main@1"}, ttl_ms=HOUR_MS)
    await bus.beat("worker", "w2", {"stages": ""}, ttl_ms=30)
    await bus.beat("edge", "e1", {"drains": "no"}, ttl_ms=HOUR_MS)
    assert await other.alive("edge") == {"e1": {"drains": "no"}}

    async def one_left() -> bool:
        return await other.alive("worker") == {"w1": {"stages": "main@1"}}

    await wait_until(one_left)
    await bus.beat("worker", "w1", {"stages": "main@1,main@2"}, ttl_ms=HOUR_MS)
    await bus.beat("worker", "w2", {"stages": ""}, ttl_ms=HOUR_MS)
    assert await other.alive("worker") == {"w1": {"stages": "main@1,main@2"}, "w2": {"stages": ""}}
    await bus.unbeat("worker", "w1")
    await bus.unbeat("worker", "w1")
    assert list(await other.alive("worker")) == ["w2"]


async def test_an_old_heartbeat_that_ran_out_comes_back(bus: Bus) -> None:
    """A process that was stopped longer than its time to live is alive again with its next beat."""
    await bus.beat("worker", "w1", {"stages": "main@1"}, ttl_ms=20)

    async def none_alive() -> bool:
        return await bus.alive("worker") == {}

    await wait_until(none_alive)
    await bus.beat("worker", "w1", {"stages": "main@1"}, ttl_ms=HOUR_MS)
    assert await bus.alive("worker") == {"w1": {"stages": "main@1"}}


async def test_dead_letters(bus: Bus) -> None:
    """Dead letters are listed from the oldest, in pages, and dropped one by one."""
    ids = [await bus.dead_letter({"event": b"\x80\x00", "error": b"%d" % n}) for n in range(3)]
    assert await bus.dead_letters() == [(id, {"event": b"\x80\x00", "error": b"%d" % n}) for n, id in enumerate(ids)]
    assert [id for id, _ in await bus.dead_letters(after=ids[0], count=1)] == ids[1:2]
    await bus.drop_dead_letter(ids[1])
    await bus.drop_dead_letter(ids[1])
    assert [id for id, _ in await bus.dead_letters(after=START)] == [ids[0], ids[2]]


async def test_the_server_says_who_and_how_full_it_is(backend: Backend) -> None:
    """The incarnation is the same for all that look, and memory is told in bytes."""
    bus = backend.bus
    await bus.ping()
    assert await bus.run_id() == await backend.other.run_id()
    if backend.features.incarnation:
        assert await bus.run_id()
        acquired = await bus.acquire("main@1:0", "w1", lease_ms=1000)
        assert acquired is not None
        assert acquired.run_id == await bus.run_id()
    used, limit = await bus.memory()
    assert used >= 0
    assert limit >= 0
