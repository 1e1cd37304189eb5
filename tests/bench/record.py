"""Whether the record keeps up: minutes of load on edge, worker and recorder, with its lag, its CPU and its bytes.

Run by `make bench-record`. Everything shares the machine: the provider and this load too.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import psutil
import uvloop
from msgspec import Struct, field

from luthien_stream.activity.store import Store
from luthien_stream.bus import connect
from luthien_stream.bus.port import Bus
from luthien_stream.config.instance import Instance, read_instance
from tests.bench.load import Load, request_of
from tests.bench.processes import cpu_seconds, family, role_of, started
from tests.bench.systems import System, pipeline
from tests.bench.wire import Broken, Connection
from tests.wait import wait_until

PIECES, RATE = 400, 20
"""Of one answer: pieces, and how many of them a second."""
LOOK_S = 5.0
CATCH_UP_S = 600.0
SIZES = """
SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint AS bytes FROM pg_class
WHERE relkind IN ('r', 't') AND relnamespace = 'public'::regnamespace AND relname ~ $1
"""


class Seen(Struct):
    """What was seen meanwhile."""

    requests: int = 0
    chunks: int = 0
    errors: list[str] = field(default_factory=list)
    lags: list[tuple[int, float]] = field(default_factory=list)
    """(entries, seconds), at each look."""


def main() -> int:
    """Measure and print; exit code 1 if an answer was broken or the record did not catch up."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.record", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--rate", type=int, default=5000, help="chunks a second that the provider sends")
    parser.add_argument("--away", action="store_true", help="Postgres stands still for as long as the load lasts")
    args = parser.parse_args()
    return uvloop.run(measure(args.seconds, args.rate, away=args.away))


async def measure(seconds: float, rate: int, *, away: bool = False) -> int:
    """Start everything, load it, wait until all is recorded, and print."""
    with tempfile.TemporaryDirectory(prefix="luthien-record-") as name:
        async with (
            started("luthien_stream.testing.provider") as (provider, _),
            pipeline("record", "", provider, Path(name), policy=True, record=True) as system,
        ):
            instance = read_instance(Path(name) / "record" / "data")
            return await _measured(system, instance, seconds, rate, _postgres(system.pid) if away else [])


def _postgres(pid: int | None) -> list[psutil.Process]:
    servers = [process for process in family(pid) if role_of(process) == "postgres"]
    return list({each.pid: each for server in servers for each in family(server.pid)}.values())


async def _measured(
    system: System, instance: Instance, seconds: float, rate: int, away: Sequence[psutil.Process]
) -> int:
    seen, streams = Seen(), max(1, rate // RATE)
    for process in away:
        process.suspend()
    before, begun = cpu_seconds(system.pid), time.monotonic()
    bus = connect(instance.redis)
    try:
        looking = asyncio.create_task(_look(bus, seen))
        end = begun + seconds
        await asyncio.gather(*(_stream(system.url, number, streams, end, seen) for number in range(streams)))
        took = time.monotonic() - begun
        log_bytes = (await bus.memory())[0]
        for process in away:
            process.resume()
        caught_up = await _caught_up(bus)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        used = {role: after - before.get(role, 0.0) for role, after in cpu_seconds(system.pid).items()}
        _print(seen, took, caught_up, used, await _sizes(instance.database), log_bytes)
    finally:
        await bus.close()
    return int(bool(seen.errors) or caught_up is None)


async def _stream(url: str, number: int, streams: int, end: float, seen: Seen) -> None:
    address = urlsplit(url)
    request = request_of(Load("record", f"text-{PIECES}@{RATE}", streams), address.netloc, "")
    await asyncio.sleep(PIECES / RATE * number / streams)
    async with Connection(address.hostname or "", address.port or 0) as connection:
        while time.monotonic() < end:
            try:
                reply = await connection.ask(request, deadline_s=120)
            except (Broken, TimeoutError, OSError) as error:
                seen.errors.append(f"{type(error).__name__}: {error}")
                return
            seen.requests += 1
            seen.chunks += b"".join(piece for _, piece in reply.payload()).count(b"data:")
            if reply.status != 200:
                seen.errors.append(f"status {reply.status}")


async def _lag(bus: Bus) -> tuple[int, float]:
    lags = [await bus.lag(stream) for stream in await bus.streams()]
    entries = sum((lag.entries or 0) + lag.pending for lag in lags)
    return entries, max((lag.oldest_ms for lag in lags), default=0) / 1000


async def _look(bus: Bus, seen: Seen) -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        entries, age = await _lag(bus)
        seen.lags.append((entries, age))
        print(f"  {seen.requests} calls, behind {entries} entries, {age:.1f} s", file=sys.stderr)  # noqa: T201


async def _caught_up(bus: Bus) -> float | None:
    """Seconds until nothing is left to record, None if that takes too long."""
    begun = time.monotonic()

    async def done() -> bool:
        return (await _lag(bus))[0] == 0

    try:
        await wait_until(done, timeout=CATCH_UP_S)
    except AssertionError:
        return None
    return time.monotonic() - begun


async def _sizes(dsn: str) -> dict[str, int]:
    """Bytes on disk: of all chunks, and of everything."""
    store = Store(dsn)
    try:
        async with store.transaction() as connection:
            found = {name: await connection.fetch(SIZES, name) for name in ("^runs", "")}
        return {name or "all": int(rows[0]["bytes"]) for name, rows in found.items()}
    finally:
        await store.close()


def _print(
    seen: Seen, took: float, caught_up: float | None, used: dict[str, float], sizes: dict[str, int], log_bytes: int
) -> None:
    ages: Sequence[float] = [age for _, age in seen.lags] or [0.0]
    per_chunk = {role: 1e6 * cpu / max(1, seen.chunks) for role, cpu in sorted(used.items())}
    done = "not within ten minutes" if caught_up is None else f"{caught_up:.1f} s"
    lines = [
        f"{seen.chunks} chunks in {seen.requests} calls, {took:.0f} s: {seen.chunks / took:.0f} chunks/s, both lanes",
        f"behind: median {median(ages):.1f} s, most {max(ages):.1f} s and {max(e for e, _ in seen.lags or [(0, 0)])}"
        f" entries; after the load recorded to the end in {done}",
        "CPU per chunk (us): " + ", ".join(f"{role} {value:.1f}" for role, value in per_chunk.items()),
        f"bytes on disk per chunk, both lanes: {sizes['^runs'] / max(1, seen.chunks):.0f} in runs, "
        f"{sizes['all'] / max(1, seen.chunks):.0f} in all",
        f"memory of the log at the end of the load: {log_bytes / 1e6:.0f} MB, "
        f"{log_bytes / max(1, seen.chunks):.0f} bytes per chunk",
        f"errors: {len(seen.errors)} {seen.errors[:3]}",
    ]
    print("\n".join(lines))  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
