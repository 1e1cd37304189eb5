"""Two stages in a row, each with two workers, and a watcher: a worker of each is killed in mid-stream."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from luthien_stream.bus import connect
from luthien_stream.bus.keys import partition
from luthien_stream.core.partition import PARTITIONS
from luthien_stream.testing.provider import FakeProvider
from tests.acceptance.clients import Received, ask_all
from tests.acceptance.fleet import HOLD, STREAMS, check, requests, undisturbed
from tests.acceptance.gateway import Gateway, kill
from tests.wait import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
PIPELINE: list[dict[str, Any]] = [
    {**HOLD[0], "stage": "one"},
    {"use": "noop", "stage": "two"},
    {"use": "noop", "mode": "shadow"},
]


def workers_of(gateway: Gateway, stage: str) -> list[psutil.Process]:
    """The workers of a stage."""
    return [worker for worker in gateway.role("worker") if worker.cmdline()[-2:] == ["--stage", stage]]


async def held_by(gateway: Gateway, stage: str, worker: psutil.Process) -> int:
    """How many partitions of a stage a worker owns."""
    bus = connect(gateway.instance.redis)
    try:
        keys = {key for facts in (await bus.alive("worker")).values() for key in facts["stages"].split(",")}
        (key,) = [key for key in keys if key.startswith(f"{stage}@")]
        holders = [await bus.lease_holder(partition(key, number)) for number in range(PARTITIONS)]
        return sum(holder.startswith(f"{worker.pid}-") for holder in holders)
    finally:
        await bus.close()


async def test_a_worker_of_either_stage_is_taken_over_without_a_wrong_byte(tmp_path: Path) -> None:
    """32 streams each time; the watcher's worker changes nothing either."""
    async with FakeProvider() as provider, Gateway(tmp_path, provider.url, pipeline=PIPELINE, workers=2) as gateway:
        calm = await undisturbed(gateway)
        for stage, partitions in (("one", 2), ("two", 2), ("shadow", 4)):
            worker = workers_of(gateway, stage)[0]
            await wait_until(lambda w=worker, s=stage, n=partitions: _owns(gateway, s, w, n), timeout=30)  # type: ignore[misc]
            got: list[Received] = []
            running = asyncio.create_task(ask_all(gateway.url, requests(), got))
            await wait_until(lambda g=got: len(g) == STREAMS and all(len(one.arrivals) > 5 for one in g), timeout=30)  # type: ignore[misc]
            kill(worker, signal.SIGKILL)
            await running
            check(got, calm)
        await gateway.proved(4 * STREAMS)


async def _owns(gateway: Gateway, stage: str, worker: psutil.Process, partitions: int) -> bool:
    return await held_by(gateway, stage, worker) == partitions
