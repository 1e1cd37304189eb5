"""What only a real server can show: lost replies, restarts, lost moments, a full memory, and a server that hangs."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from luthien_stream.bus import connect, keys
from luthien_stream.bus.outbox import Outbox
from luthien_stream.bus.port import START, Bus, Open, Settlement
from luthien_stream.bus.redis import links
from luthien_stream.bus.redis.links import call_once
from luthien_stream.embedded.valkey import EmbeddedValkey
from luthien_stream.errors import BusAmbiguous, BusError, BusFull, BusUnavailable, ConfigError
from luthien_stream.events.log import ChunkReceived
from luthien_stream.events.pack import decode
from tests.contract.conftest import take
from tests.proxy import Proxy
from tests.wait import wait_until

P = keys.partition("main@ab12cd34", 0)
IN = keys.partition_stream(P)
INBOX = keys.inbox("e1")


@pytest.fixture
async def proxy(valkey_url: str) -> AsyncIterator[Proxy]:
    """A proxy before the session's server."""
    with TemporaryDirectory() as folder:
        async with Proxy(valkey_url, Path(folder)) as proxy:
            yield proxy


@pytest.fixture
async def proxied(proxy: Proxy) -> AsyncIterator[Bus]:
    """A bus behind the proxy."""
    bus = connect(proxy.url)
    yield bus
    await bus.close()


@pytest.fixture
async def direct(valkey_url: str) -> AsyncIterator[Bus]:
    """A bus on the session's server."""
    bus = connect(valkey_url)
    yield bus
    await bus.close()


@pytest.fixture
async def own(own_valkey: EmbeddedValkey) -> AsyncIterator[Bus]:
    """A bus on a server of its own."""
    bus = connect(own_valkey.url)
    yield bus
    await bus.close()


async def restart(server: EmbeddedValkey, bus: Bus, *, forget_bytes: int = 0) -> None:
    """Kill the server and start it again, its append-only file shorter by so many bytes."""
    server.kill()
    if forget_bytes:
        (log,) = (server.place.data / "appendonlydir").glob("*.incr.aof")
        os.truncate(log, log.stat().st_size - forget_bytes)
    await server.start()

    async def answers() -> bool:
        try:
            await bus.ping()
        except BusError:
            return False
        return True

    await wait_until(answers)


async def accepted(bus: Bus) -> list[int]:
    """What a stage takes of one call: the next ordinal only."""
    taken: list[int] = []
    for event in [event for entry in await bus.range(IN, START) for event in decode(entry.raw).events]:
        if event.n == len(taken):
            taken.append(event.n)
    return taken


async def entries(bus: Bus, stream: str) -> int:
    """How many entries a stream has."""
    return len(await bus.range(stream, START))


async def test_a_lost_reply_of_a_publish(proxy: Proxy, proxied: Bus, direct: Bus) -> None:
    """The pack is written twice and taken once."""
    outbox = Outbox(proxied, IN, "edge:e1", on_lost=lambda calls: pytest.fail(f"lost {calls}"))
    running = asyncio.create_task(outbox.run())
    outbox.put(ChunkReceived(call="a", n=0, frame=b"x"))
    await wait_until(lambda: outbox.idle)
    proxy.lose_replies()
    for n in range(1, 4):
        outbox.put(ChunkReceived(call="a", n=n, frame=b"x"))
    await outbox.close(5)
    await running
    assert await entries(direct, IN) == 3
    assert await accepted(direct) == [0, 1, 2, 3]


async def test_a_publish_that_arrives_after_its_repeat(proxy: Proxy, proxied: Bus, direct: Bus) -> None:
    """A request that hung in a dead connection is executed last, and changes nothing."""
    outbox = Outbox(proxied, IN, "edge:e1", on_lost=lambda calls: pytest.fail(f"lost {calls}"))
    running = asyncio.create_task(outbox.run())
    outbox.put(ChunkReceived(call="a", n=0, frame=b"x"))
    await wait_until(lambda: outbox.idle)
    proxy.hold_requests()
    outbox.put(ChunkReceived(call="a", n=1, frame=b"x"))
    await wait_until(lambda: entries_are(direct, 2))
    outbox.put(ChunkReceived(call="a", n=2, frame=b"x"))
    await outbox.close(5)
    await running
    await proxy.release()
    await wait_until(lambda: entries_are(direct, 4))
    assert await accepted(direct) == [0, 1, 2]


async def entries_are(bus: Bus, count: int) -> bool:
    """Whether the partition's stream has this many entries."""
    return await entries(bus, IN) == count


async def test_a_lost_reply_of_a_read(proxy: Proxy, proxied: Bus) -> None:
    """A read that failed is made again from where it was: nothing is skipped."""
    async with proxied.reader() as reader:
        assert await reader.read({IN: START}, block_ms=0) == []
        proxy.lose_replies()
        await proxied.append(INBOX, b"another connection")
        await proxied.append(IN, b"1")
        with pytest.raises(BusAmbiguous):
            await reader.read({IN: START})
        await proxied.append(IN, b"2")
        assert [entry.raw for entry in await reader.read({IN: START})] == [b"1", b"2"]


async def test_a_lost_reply_of_a_turn(proxy: Proxy, proxied: Bus, direct: Bus) -> None:
    """The same turn again is DUP, and its outputs are there once."""
    owner = (await take(direct, P)).owner
    turn = Settlement(owner, 1, START, effects=b"effect", outputs=[(INBOX, b"out")])
    async with proxied.reader() as reader:
        await reader.read({IN: START}, block_ms=0)
        proxy.lose_replies()
        with pytest.raises(BusAmbiguous):
            await reader.turn(P, turn, START)
        settled, read = await reader.turn(P, turn, START)
    assert (settled.outcome, [entry.raw for entry in read]) == ("dup", [b"effect"])
    assert await entries(direct, INBOX) == 1


async def test_a_server_that_accepts_and_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first connection has a deadline too."""
    monkeypatch.setattr(links, "COMMAND_DEADLINE_S", 0.1)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "silent"))
        silent.listen()
        bus = connect(f"unix://{tmp_path}/silent")
        async with asyncio.timeout(10):
            with pytest.raises(BusUnavailable):
                await bus.ping()
        await bus.close()


async def test_scripts_are_loaded_again(valkey_url: str) -> None:
    """A server that has forgotten its scripts gets them with the next turn or command that needs one."""
    bus = connect(valkey_url)
    owner = (await take(bus, P)).owner
    await bus.append(IN, b"x")
    async with bus.reader() as reader:
        await reader.read({IN: START})
        for turn in (1, 2):
            call_once(valkey_url, "SCRIPT", "FLUSH")
            settled, read = await reader.turn(P, Settlement(owner, turn, START), START)
            assert (settled.outcome, len(read)) == ("ok", 1)
    call_once(valkey_url, "SCRIPT", "FLUSH")
    assert await bus.renew(P, owner, "w1", lease_ms=1000)
    await bus.close()


async def test_scripts_that_could_not_be_loaded_are_loaded_later(own_valkey: EmbeddedValkey, own: Bus) -> None:
    """A server that refuses them for a while is away for that while only."""
    call_once(own_valkey.url, "ACL", "SETUSER", "default", "-script|load")
    for _ in range(2):
        with pytest.raises(BusUnavailable):
            await own.acquire(P, "w1", lease_ms=1000)
    call_once(own_valkey.url, "ACL", "SETUSER", "default", "+script|load")
    await take(own, P)


async def test_an_entry_of_another_shape_has_no_bytes(valkey_url: str) -> None:
    """What somebody else wrote into a stream neither stops a reader nor passes for a pack."""
    bus = connect(valkey_url)
    call_once(valkey_url, "XADD", IN, "*", "x", "1")
    call_once(valkey_url, "XADD", IN, "*", "b", "1", "c", "2")
    async with bus.reader() as reader:
        assert [entry.raw for entry in await reader.read({IN: START})] == [b"", b""]
    await bus.close()


async def test_a_stream_deleted_under_a_blocked_group_read(valkey_url: str) -> None:
    """The read ends empty, without a hot loop, and goes on when the stream is back."""
    bus = connect(valkey_url)
    await bus.register_stream(IN, recorded=True)
    async with bus.reader() as reader:
        waiting = asyncio.create_task(reader.read_group([IN], "one", count=9, block_ms=300))
        await asyncio.sleep(0.05)
        call_once(valkey_url, "DEL", IN)
        assert await waiting == []
        assert await bus.streams() == []
        await bus.append(IN, b"x")
        assert [entry.raw for entry in await reader.read_group([IN], "one", count=9, block_ms=10)] == [b"x"]
    await bus.close()


async def test_a_killed_server_loses_nothing(own_valkey: EmbeddedValkey, own: Bus) -> None:
    """A blocked reader fails with a typed error and reads on; producers notice the other run id before they write."""
    before = await own.run_id()
    await own.append(IN, b"1")
    async with own.reader() as reader:
        position = (await reader.read({IN: START}))[-1].id
        waiting = asyncio.create_task(reader.read({IN: position}, block_ms=20_000))
        await asyncio.sleep(0.05)
        await restart(own_valkey, own)
        with pytest.raises(BusAmbiguous):
            await waiting
        assert await own.run_id() != before
        with pytest.raises(BusUnavailable, match="restarted"):
            await own.append(IN, b"2")
        await own.append(IN, b"2")
        assert [entry.raw for entry in await reader.read({IN: position})] == [b"2"]
    assert await entries(own, IN) == 2


async def test_producers_repeat_what_the_server_has_forgotten(own_valkey: EmbeddedValkey, own: Bus) -> None:
    """After a restart that lost the last entries the outbox writes its last seconds again, in order, and goes on."""
    outbox = Outbox(own, IN, "edge:e1", on_lost=lambda calls: pytest.fail(f"lost {calls}"))
    running = asyncio.create_task(outbox.run())
    for n in range(5):
        outbox.put(ChunkReceived(call="a", n=n, frame=b"x" * 100))
        await wait_until(lambda n=n: entries_are(own, n + 1))  # type: ignore[misc]
    await restart(own_valkey, own, forget_bytes=400)
    assert await accepted(own) != [0, 1, 2, 3, 4]
    outbox.put(ChunkReceived(call="a", n=5, frame=b"x"))
    await outbox.close(5)
    await running
    assert await accepted(own) == [0, 1, 2, 3, 4, 5]


async def test_an_owner_repeats_the_turns_that_the_server_has_forgotten(own_valkey: EmbeddedValkey, own: Bus) -> None:
    """The next turn is a GAP that names the last one known; the kept turns again, in order, close it."""
    owner = (await take(own, P)).owner
    turns = [Settlement(owner, n, START, outputs=[(INBOX, b"%d" % n * 50)]) for n in range(1, 41)]
    for turn in turns[:-1]:
        assert (await own.settle(P, turn)).outcome == "ok"
    await restart(own_valkey, own, forget_bytes=2000)
    settled = await own.settle(P, turns[-1])
    assert settled.outcome == "gap"
    assert 10 < settled.turn < 39
    assert await own.state(P) == (owner, settled.turn)
    for turn in turns[settled.turn :]:
        assert (await own.settle(P, turn)).outcome == "ok"
    assert [entry.raw for entry in await own.range(INBOX, START)] == [b"%d" % n * 50 for n in range(1, 41)]


async def test_nobody_takes_over_just_after_a_restart(own_valkey: EmbeddedValkey, own: Bus) -> None:
    """The server may have forgotten a renewal: only the owner it knows of comes back at once."""
    await take(own, P, "w1", lease_ms=1)
    await restart(own_valkey, own)
    assert await own.lease_holder(P) == ""
    assert await own.acquire(P, "w2", lease_ms=60_000) is None
    assert (await take(own, P, "w1", lease_ms=60_000)).crashes == 1


async def fill(bus: Bus, url: str) -> None:
    """Lower the limit until appends are refused."""
    used, _ = await bus.memory()
    call_once(url, "CONFIG", "SET", "maxmemory", used - 100_000)
    with pytest.raises(BusFull):
        await bus.append("ls:{x}:inbox", b"x")


async def test_a_full_server(own_valkey: EmbeddedValkey, own: Bus) -> None:
    """A turn that adds something is refused whole; leases, heartbeats, trims and closing calls go on."""
    acquired = await take(own, P, lease_ms=1)
    ids = [await own.append(IN, b"x") for _ in range(3)]
    held = Open(first=ids[0], released=0, digest=0, edge="e1", deadline=0)
    assert (await own.settle(P, Settlement(acquired.owner, 1, ids[2], open={"a": held, "b": held}))).outcome == "ok"
    await own.beat("worker", "w1", {"stages": "main@1"}, ttl_ms=1000)
    await fill(own, own_valkey.url)
    turn = Settlement(acquired.owner, 2, ids[2], effects=b"effect", outputs=[(INBOX, b"out")], closed=["a"])
    async with own.reader() as reader:
        with pytest.raises(BusFull):
            await reader.turn(P, turn, START, block_ms=0)
    assert (await own.state(P), await own.last_id(INBOX)) == ((acquired.owner, 1), START)
    assert set(await own.open_calls(P)) == {"a", "b"}
    with pytest.raises(BusFull):
        await own.put_body("ab", b"x", ttl_ms=1000)
    with pytest.raises(BusFull):
        await own.spill(P, acquired.owner, "a", [(ids[0], b"x")], ids[1], ttl_ms=1000)

    assert await own.renew(P, acquired.owner, "w1", lease_ms=60_000)
    await own.beat("worker", "w1", {"stages": "main@1"}, ttl_ms=60_000)
    assert (await own.settle(P, Settlement(acquired.owner, 2, ids[2], closed=["a", "b"]))).outcome == "ok"
    assert await own.trim(P, acquired.owner, max_age_ms=60_000) == 2
    assert (await take(own, P, "w1")).crashes == 0
    call_once(own_valkey.url, "CONFIG", "SET", "maxmemory", 0)
    await own.append(IN, b"x")


async def test_a_worker_can_start_on_a_full_server(own_valkey: EmbeddedValkey, own: Bus) -> None:
    """Only workers drain it: a new one says that it lives, takes a partition, and makes its stream known."""
    await own.register_stream(IN, recorded=True)
    await fill(own, own_valkey.url)
    await own.beat("worker", "w2", {"stages": "main@1"}, ttl_ms=60_000)
    await take(own, P, "w2")
    await own.register_stream(IN, recorded=True)
    assert list(await own.alive("worker")) == ["w2"]
    call_once(own_valkey.url, "CONFIG", "SET", "maxmemory", 0)


async def test_a_process_that_beats_is_listed_again(direct: Bus, valkey_url: str) -> None:
    """Whoever took it off the list, or a server that forgot it, does so until its next beat only."""
    await direct.beat("edge", "e1", {}, ttl_ms=60_000)
    call_once(valkey_url, "SREM", keys.registry("edge"), "e1")
    await direct.beat("edge", "e1", {}, ttl_ms=60_000)
    assert list(await direct.alive("edge")) == ["e1"]


async def test_a_stream_made_while_it_is_forgotten_stays_known(direct: Bus, valkey_url: str) -> None:
    """A reader that finds a stream gone does not undo the registration of whoever makes it again."""
    other = connect(valkey_url)

    async def make_again(after_steps: int) -> None:
        for _ in range(after_steps):
            await asyncio.sleep(0)
        await other.register_stream(IN, recorded=True)

    for number in range(200):
        await direct.register_stream(IN, recorded=True)
        call_once(valkey_url, "UNLINK", IN)
        await asyncio.gather(direct.streams(), make_again(number % 20))
        assert await direct.streams() == [IN]
    await other.close()


async def test_a_server_that_hangs(own_valkey: EmbeddedValkey, own: Bus) -> None:
    """Commands end at their deadline with a typed error, also those that wait for a connection."""
    await own.ping()
    os.kill(own_valkey.pid, signal.SIGSTOP)
    try:
        results = await asyncio.gather(*(own.ping() for _ in range(12)), return_exceptions=True)
    finally:
        os.kill(own_valkey.pid, signal.SIGCONT)
    assert {type(result) for result in results} <= {BusAmbiguous, BusUnavailable}
    await wait_until(lambda: answers(own))


async def answers(bus: Bus) -> bool:
    """Whether the server answers."""
    try:
        await bus.ping()
    except BusError:
        return False
    return True


async def test_what_cannot_be_reached_says_so(shared_valkey: EmbeddedValkey, tmp_path: Path) -> None:
    """No server, a wrong password and a URL that is none are told apart, and each names the way out."""
    wrong = shared_valkey.url.replace("unix://:", "unix://:wrong")
    for url, words in ((f"unix://{tmp_path}/none.sock", "cannot be reached"), (wrong, "password")):
        bus = connect(url)
        with pytest.raises(BusUnavailable, match=words):
            await bus.ping()
        with pytest.raises(BusError):
            bus.last_words(P, "1:x", "call entry")
        await bus.close()
    with pytest.raises(ConfigError, match="redis"):
        connect("http://127.0.0.1")
