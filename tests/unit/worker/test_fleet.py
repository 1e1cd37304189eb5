"""Workers among workers: leases, shares, what a stall leaves behind, stages that are gone, the whole process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from luthien_stream.bus import keys
from luthien_stream.bus.memory import MemoryBus
from luthien_stream.config.instance import Instance
from luthien_stream.config.model import Config, PolicyUse
from luthien_stream.core.partition import PARTITIONS
from luthien_stream.errors import BusAmbiguous
from luthien_stream.events.log import ResponseFailed
from luthien_stream.worker.balance import Balance, share
from luthien_stream.worker.clock import SystemClock
from luthien_stream.worker.lease import LeaseThread, renew_leases
from luthien_stream.worker.poison import read_suspect
from luthien_stream.worker.process import serve
from luthien_stream.worker.retire import Retire, partition_of_stream
from luthien_stream.worker.stall import Watch, Watchdog
from tests.unit.worker.toys import EDGE, QUICK, STAGE, Hands, answer, request
from tests.wait import wait_until


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    bus = MemoryBus()
    yield bus
    await bus.close()


def test_shares_cover_all_partitions() -> None:
    """However many workers there are, their shares together are enough, and nobody's is zero."""
    for workers in range(1, 12):
        assert share(8, workers) * workers >= 8
        assert share(8, workers) >= 1


async def test_partitions_move_to_a_new_worker_and_back(bus: MemoryBus) -> None:
    """A second worker gets half within moments; when it leaves, the first has all again."""
    hands = Hands(bus)

    def owned(worker: str) -> int:
        return sum(
            bus.data.partition(keys.partition(STAGE, n)).holder(bus.now_ms()) == worker for n in range(PARTITIONS)
        )

    async def beat(worker: str) -> None:
        await bus.beat("worker", worker, {"stages": STAGE}, ttl_ms=60_000)

    first, second = (Balance(hands.station(name)) for name in ("w1", "w2"))
    tasks = [asyncio.create_task(first.run())]
    await beat("w1")
    await wait_until(lambda: owned("w1") == PARTITIONS)
    await beat("w2")
    tasks.append(asyncio.create_task(second.run()))
    await wait_until(lambda: owned("w1") == owned("w2") == PARTITIONS // 2)
    await bus.unbeat("worker", "w2")
    tasks[1].cancel()
    await second.drain()
    await wait_until(lambda: owned("w1") == PARTITIONS)
    tasks[0].cancel()
    await first.drain()
    assert owned("w1") == 0
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_lease_is_renewed_and_its_loss_noticed(bus: MemoryBus) -> None:
    """Renewal keeps the lease; one that another worker has taken is dropped from the list."""
    acquired = await bus.acquire("s:0", "w1", lease_ms=150)
    assert acquired is not None
    held = {"s:0": acquired.owner, "s:1": "stale"}
    task = asyncio.create_task(renew_leases(bus, held, "w1", 0.15, SystemClock()))
    await wait_until(lambda: "s:1" not in held)
    lease = bus.data.partition("s:0").lease
    assert lease is not None
    before = lease.expires
    await wait_until(lambda: (bus.data.partition("s:0").lease or lease).expires > before)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_leases_survive_a_blocked_loop(bus: MemoryBus) -> None:
    """The thread renews while a policy computes."""
    acquired = await bus.acquire("s:0", "w1", lease_ms=300)
    assert acquired is not None
    thread = LeaseThread(lambda: bus, {"s:0": acquired.owner}, "w1", 0.3)
    thread.start()
    time.sleep(0.6)  # noqa: ASYNC251 - the loop is blocked on purpose
    assert bus.data.partition("s:0").holder(bus.now_ms()) == "w1"
    await asyncio.to_thread(thread.stop)


def test_renewals_that_end_are_not_silent() -> None:
    """Whatever ends the thread is logged: without it the worker would lose its partitions again and again."""

    class Broken(MemoryBus):
        async def renew(self, partition: str, owner: str, worker: str, *, lease_ms: int) -> bool:
            raise ValueError("a fault")

    with capture_logs() as logs:
        thread = LeaseThread(Broken, {"s:0": "1:x"}, "w1", 0.03)
        thread.start()
        thread.join()
    assert [line["event"] for line in logs] == ["lease_renewal_failed"]


def test_a_stall_leaves_its_name_and_ends_the_process() -> None:
    """The watchdog convicts the call that runs for too long, not one that is replaced in time."""
    watch, died = Watch(), threading.Event()
    watch.owners.update({"s:0": "1:x", "s:1": "2:y"})
    said: list[tuple[str, str, str]] = []
    watchdog = Watchdog(watch, lambda *args: said.append(args), 0.2, die=lambda status: died.set())
    watchdog.start()
    for i in range(5):
        watch.running = ("s:0", "quick", f"{i}-0")
        assert not died.wait(0.06)
    watch.running = ("s:0", "slow", "9-0")
    assert died.wait(5)
    watchdog.stop()
    (partition, owner, suspect), other = said
    assert other == ("s:1", "2:y", "")
    assert (partition, owner) == ("s:0", "1:x")
    assert (read_suspect(suspect).call, read_suspect(suspect).entry) == ("slow", "9-0")
    assert read_suspect(suspect).crashes >= QUICK.suspect_crashes


async def test_a_stage_without_workers_is_cleared_away() -> None:
    """Its open calls end with a typed error, and its partition goes when no late copy can come any more."""
    later = [0]
    bus = MemoryBus(clock=lambda: SystemClock().now_us() + later[0])
    hands = Hands(bus)
    await bus.register_stream(hands.stream, recorded=False)
    owner = await hands.acquire("w1")
    await hands.send(request("c"), *answer("c", [b"a"], end=False))
    await wait_until(lambda: len(hands.lane("c")) == 3)
    owner.leave()
    await hands.tasks[-1]
    retire = Retire(bus, "w2", SystemClock(), msgspec.structs.replace(QUICK, retire_after_s=0.0))
    await retire.once()
    last = hands.lane("c")[-1]
    assert isinstance(last, ResponseFailed)
    assert (last.error, last.n) == ("stage_gone", 3)
    assert hands.key in bus.data.partitions
    later[0] = 3_600_000_000
    await retire.once()
    assert hands.key not in bus.data.partitions


def test_partition_streams_are_told_from_others() -> None:
    """An inbox is no partition."""
    assert partition_of_stream(keys.partition_stream("main@1:3")) == "main@1:3"
    assert partition_of_stream(keys.inbox(EDGE)) == ""


async def test_a_worker_without_policies_idles(bus: MemoryBus, tmp_path: Path) -> None:
    """With no pipeline it lives, owns nothing, and stops when it is told to."""
    instance = Instance(pid=1, listen="", admin="", redis="memory", database="none")
    ready, stop = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(serve(Config(), instance, data=tmp_path, bus=bus, ready=ready.set, stop=stop))
    await ready.wait()
    assert len(await bus.alive("worker")) == 1
    stop.set()
    await task
    assert await bus.alive("worker") == {}


@pytest.mark.parametrize(("database", "recorded"), [("embedded", True), ("none", False)])
async def test_without_a_database_nothing_is_kept_for_it(
    bus: MemoryBus, tmp_path: Path, database: str, recorded: bool
) -> None:
    """An activity group that nobody reads would keep every entry for a day."""
    stop = asyncio.Event()
    config = Config(database=database, pipeline=(PolicyUse("noop"),))
    instance = Instance(pid=1, listen="", admin="", redis="memory", database=database)
    task = asyncio.create_task(serve(config, instance, data=tmp_path, bus=bus, stop=stop))
    await wait_until(lambda: len(bus.data.streams) == PARTITIONS)
    assert {stream.group is not None for stream in bus.data.streams.values()} == {recorded}
    stop.set()
    await task


async def test_a_beat_that_cannot_be_taken_back_does_not_keep_the_leases(tmp_path: Path) -> None:
    """Partitions are given up in good order whatever the log says to the last heartbeat."""

    class Moody(MemoryBus):
        async def unbeat(self, role: str, name: str) -> None:
            raise BusAmbiguous

    bus, stop = Moody(), asyncio.Event()
    instance = Instance(pid=1, listen="", admin="", redis="memory", database="none")
    config = Config(pipeline=(PolicyUse("noop"),))
    task = asyncio.create_task(serve(config, instance, data=tmp_path, bus=bus, stop=stop))
    await wait_until(lambda: sum(bool(found.owner) for found in bus.data.partitions.values()) == PARTITIONS)
    stop.set()
    await task
    assert not any(found.owner for found in bus.data.partitions.values())
    await bus.close()
