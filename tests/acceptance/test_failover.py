"""Workers die, stall and lose their log in mid-stream; every client gets the bytes of an undisturbed run."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from luthien_stream.core.partition import partition_of
from luthien_stream.testing.provider import FakeProvider
from tests.acceptance.clients import Received, ask_all
from tests.acceptance.fleet import HOLD, PASS, STREAMS, check, owners, requests, spread, undisturbed
from tests.acceptance.gateway import Gateway, kill
from tests.wait import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
ROUNDS = 10
PING = b'event: ping\ndata: {"type": "ping"}\n\n'


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        yield fake


async def disturbed(gateway: Gateway, sign: int, *, after: int) -> tuple[list[Received], int]:
    """Run all streams and send a worker a signal in the middle.

    Return what the clients got, and how many streams changed owner between two of their chunks.
    """
    got: list[Received] = []
    running = asyncio.create_task(ask_all(gateway.url, requests(), got))
    await wait_until(lambda: len(got) == STREAMS and all(len(one.arrivals) > after for one in got), timeout=30)
    worker = gateway.role("worker")[0]
    before, start = await owners(gateway), time.monotonic()
    lost = {p for p, holder in before.items() if holder.startswith(f"{worker.pid}-")}
    kill(worker, sign)

    async def taken_over() -> bool:
        now = await owners(gateway)
        return all(now[p] not in ("", before[p]) for p in lost)

    await wait_until(taken_over, timeout=30)
    end = time.monotonic()
    if sign == signal.SIGSTOP:
        kill(worker, signal.SIGCONT)
    await running
    return got, sum(partition_of(one.call_id) in lost and one.between(start, end) for one in got)


@pytest.mark.parametrize("pipeline", [PASS, HOLD], ids=["noop", "holds-text"])
async def test_a_killed_worker_is_taken_over_without_a_wrong_byte(
    tmp_path: Path, provider: FakeProvider, pipeline: list[dict[str, Any]]
) -> None:
    """Ten times: 32 streams, one of two workers killed; at least 8 streams change owner between two chunks."""
    async with Gateway(tmp_path, provider.url, pipeline=pipeline, workers=2) as gateway:
        calm = await undisturbed(gateway)
        for turn in range(ROUNDS):
            await wait_until(lambda: spread(gateway), timeout=30)
            got, moved = await disturbed(gateway, signal.SIGKILL, after=3 + 2 * turn)
            check(got, calm)
            assert moved >= 8, f"round {turn}: only {moved} streams changed owner"
        await gateway.proved((1 + ROUNDS) * STREAMS)


@pytest.mark.parametrize("pipeline", [PASS, HOLD], ids=["noop", "holds-text"])
async def test_a_paused_worker_that_wakes_up_writes_nothing(
    tmp_path: Path, provider: FakeProvider, pipeline: list[dict[str, Any]]
) -> None:
    """SIGSTOP past the lease, then SIGCONT while the new owner streams: the stale owner is fenced."""
    async with Gateway(tmp_path, provider.url, pipeline=pipeline, workers=2) as gateway:
        calm = await undisturbed(gateway)
        for _ in range(2):
            await wait_until(lambda: spread(gateway), timeout=30)
            got, moved = await disturbed(gateway, signal.SIGSTOP, after=4)
            check(got, calm)
            assert moved >= 8
        await gateway.proved(3 * STREAMS)


async def test_a_killed_redis_comes_back_and_no_byte_is_wrong(tmp_path: Path, provider: FakeProvider) -> None:
    """SIGKILL the embedded server in mid-stream; `up` restarts it and all streams complete."""
    async with Gateway(tmp_path, provider.url, pipeline=HOLD, workers=2) as gateway:
        calm = await undisturbed(gateway)
        got: list[Received] = []
        running = asyncio.create_task(ask_all(gateway.url, requests(), got))
        await wait_until(lambda: len(got) == STREAMS and all(len(one.arrivals) > 5 for one in got), timeout=30)
        kill(gateway.role("valkey")[0])
        await running
        check(got, calm)
        await gateway.proved(2 * STREAMS)


async def test_a_log_truncated_at_rest_gives_the_whole_answer_or_a_typed_error(
    tmp_path: Path, provider: FakeProvider
) -> None:
    """The server comes back without its last moments: every client has all, or a true beginning and an error."""
    async with Gateway(tmp_path, provider.url, pipeline=HOLD, workers=2) as gateway:
        calm = await undisturbed(gateway)
        got: list[Received] = []
        running = asyncio.create_task(ask_all(gateway.url, requests(), got))
        await wait_until(lambda: len(got) == STREAMS and all(len(one.arrivals) > 40 for one in got), timeout=30)
        await forget_last_moments(gateway, 60_000)
        await running
        ends = [how_it_ended(one, want) for one, want in zip(got, calm, strict=True)]
        assert set(ends) <= {"complete", "error"}, ends
        fresh: list[Received] = []
        await ask_all(gateway.url, requests(), fresh)
        check(fresh, calm)
        fates = {one.call_id: end for one, end in zip(got, ends, strict=True)}
        await proved_but_what_was_lost(gateway, fates, calls=3 * STREAMS)


async def proved_but_what_was_lost(gateway: Gateway, fates: dict[str, str], *, calls: int) -> None:
    """Every call holds when it is run again, but those of which the server has forgotten a part: they say so."""
    await wait_until(lambda: len(gateway.replayed()) >= calls, timeout=60)
    for call, status in gateway.replayed().items():
        allowed = {"same"} if call not in fates else {"same", "incomplete"}
        assert status in allowed, (call, status, fates.get(call))


async def forget_last_moments(gateway: Gateway, size: int) -> None:
    """Kill the server and cut the end off its append-only file before `up` starts it again."""
    (server,) = gateway.role("valkey")
    folder = Path(server.cwd())
    kill(gateway.up, signal.SIGSTOP)
    try:
        kill(server)
        await wait_until(lambda: server.status() == psutil.STATUS_ZOMBIE)
        cut_the_end(folder, size)
    finally:
        kill(gateway.up, signal.SIGCONT)


def cut_the_end(folder: Path, size: int) -> None:
    """Take the last bytes off the append-only file in a server's folder."""
    (newest,) = folder.rglob("*.incr.aof")
    os.truncate(newest, max(0, newest.stat().st_size - size))


def how_it_ended(one: Received, want: bytes) -> str:
    """`complete`, `error` (a true beginning, then an error or a break), or `wrong`."""
    if one.body == want:
        return "complete"
    frames = one.body.split(b"\n\n")
    told = [i for i, frame in enumerate(frames) if b'"error"' in frame]
    begun = b"\n\n".join(frames[: told[0]]) if told else one.body
    begun = begun.replace(PING, b"")
    return "error" if (told or one.broken) and want.replace(PING, b"").startswith(begun) else "wrong"
