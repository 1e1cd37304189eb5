"""How fast recorded calls are run through another policy: a record of many calls, backtested on one core and on all.

Run by `make bench-backtest`. The ratio is to the time in which the calls were produced, one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from luthien_stream.activity.importing import rows_of
from luthien_stream.activity.migrate import migrate
from luthien_stream.activity.rows import Rows
from luthien_stream.activity.store import Store
from luthien_stream.cli.backtest_calls import _Reader
from luthien_stream.embedded.postgres import EmbeddedPostgres
from luthien_stream.policy.catalogue import find
from luthien_stream.policy.pipeline import Bound, Pipeline
from luthien_stream.record.made import call_id, made_record
from luthien_stream.replay.again import Candidate, Options
from luthien_stream.replay.many import run_all, units_of
from luthien_stream.replay.work import Trial
from luthien_stream.testing.rig import request_body
from luthien_stream.upstream.render import STREAMS
from luthien_stream.upstream.script import Answer, Say, words

TEXT = "The quick brown fox has read the manual, twice; its tail (no password in it) is in the way of a key word. "
PIECES = 196
"""With the frames around them 200 chunks, and 20 ms between two of them as the record says."""
START = 1_790_000_000_000_000
POLICIES: dict[str, dict[str, Any]] = {"noop": {}, "string_replace": {"replace": [["password", "***"]]}}


class Make:
    """Makes the trial of a policy in each process."""

    def __init__(self, dsn: str, policy: str) -> None:
        self._dsn, self._policy = dsn, policy

    def __call__(self) -> Any:
        """A trial, and where its calls come from."""
        policy = msgspec.convert(POLICIES[self._policy], find(self._policy))
        candidate = Candidate(Pipeline((Bound(self._policy, policy, version="1"),)))
        return Trial(candidate, Options(), "some"), _Reader(self._dsn)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.backtest", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="luthien-backtest-") as name:
        server = EmbeddedPostgres(Path(name) / "postgres")
        asyncio.run(server.start())
        try:
            measure(server.dsn, asyncio.run(_fill(server.dsn, args.calls)))
        finally:
            asyncio.run(server.stop())
    return 0


def measure(dsn: str, ids: list[str]) -> None:
    """Each policy on one core and on all of them."""
    units = units_of([("", id) for id in ids])
    for policy in POLICIES:
        for jobs in sorted({1, os.cpu_count() or 1}):
            begun = time.perf_counter()
            cases = [case for batch in run_all(units, Make(dsn, policy), jobs) for case in batch]
            took = time.perf_counter() - begun
            chunks, produced = sum(case.chunks for case in cases), sum(case.duration for case in cases) / 1e6
            _say(
                f"{policy}, {jobs} at once: {len(cases)} calls, {chunks} chunks in {took:.1f} s: "
                f"{chunks / took:.0f} chunks/s, produced in {produced:.0f} s ({produced / took:.0f} times as long)"
            )


async def _fill(dsn: str, calls: int) -> list[str]:
    frames = STREAMS["openai_chat"](Answer("m", (Say(words(TEXT * 10)[:PIECES]),)), True)
    store, ids = Store(dsn), list[str]()
    try:
        await migrate(store)
        for at in range(0, calls, 100):
            rows = Rows()
            for n in range(at, min(calls, at + 100)):
                started = START + n * 1_000_000
                record = made_record(call_id(started, n), started, "openai_chat", request_body(), frames, model="m")
                ids.append(record.call_id)
                _merge(rows, rows_of(record))
            await store.write(rows)
    finally:
        await store.close()
    _say(f"{calls} calls of {len(frames)} chunks on record")
    return ids


def _merge(into: Rows, rows: Rows) -> None:
    into.calls += rows.calls
    into.events += rows.events
    into.runs += rows.runs
    into.bodies |= rows.bodies


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
