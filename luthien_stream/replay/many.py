"""A backtest over processes: units of work go out in order and their cases come back in that order."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from luthien_stream.errors import LuthienError
from luthien_stream.record.lanes import Record
from luthien_stream.replay.case import Case
from luthien_stream.replay.work import Item, Recall, Trial, Unit, run_unit

BATCH = 32
"""Calls that go to a process at a time; a session is never divided."""
AHEAD = 3
"""Batches for each process that are under way or wait."""
DEADLINE_S = 600.0
"""How long one batch may take."""
Made = tuple[Trial, Recall]
Make = Callable[[], Made]
"""Makes what a process needs, in the process: it must be picklable, what it makes need not be."""
_made: list[Made] = []


class JobFailed(LuthienError):
    """A process of the backtest ended, or took too long."""


def units_of(calls: Sequence[tuple[str, Item]], *, by_session: bool = True) -> list[Unit]:
    """Calls as (session, item) in order to units, by their first call."""
    groups: dict[str, list[tuple[str, Item]]] = {}
    for place, (session, item) in enumerate(calls):
        groups.setdefault(session if session and by_session else f" {place}", []).append((session, item))
    units: list[Unit] = []
    first = 0
    for key, group in groups.items():
        session = group[0][0] if key == group[0][0] else ""
        units.append(Unit(first, session, tuple(item for _, item in group)))
        first += len(group)
    return units


def run_all(units: Sequence[Unit], make: Make, jobs: int) -> Iterator[list[Case]]:
    """Yield the cases of all units in order, batch by batch. Raises `JobFailed`."""
    batches = list(_batches(units))
    if jobs == 1 or len(batches) == 1:
        made = make()
        try:
            yield from (_work(batch, made) for batch in batches)
        finally:
            made[1].close()
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(jobs, len(batches)), mp_context=context, initializer=_begin, initargs=(make,))
    try:
        yield from _gathered(pool, batches, jobs * AHEAD)
    except BrokenProcessPool as error:
        raise JobFailed(
            "A process of the backtest ended (out of memory?): try fewer with --jobs, or one with --jobs 1"
        ) from error
    except TimeoutError as error:
        raise JobFailed(f"{BATCH} calls took more than {DEADLINE_S:.0f} s: a policy seems to hang") from error
    finally:
        _end(pool)


def _gathered(pool: ProcessPoolExecutor, batches: Sequence[list[Unit]], ahead: int) -> Iterator[list[Case]]:
    waiting: deque[Future[list[Case]]] = deque()
    for batch in batches:
        waiting.append(pool.submit(_job, batch))
        if len(waiting) >= ahead:
            yield waiting.popleft().result(DEADLINE_S)
    while waiting:
        yield waiting.popleft().result(DEADLINE_S)


def _end(pool: ProcessPoolExecutor) -> None:
    """End the processes, also those that hang."""
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()


def _batches(units: Sequence[Unit]) -> Iterator[list[Unit]]:
    batch: list[Unit] = []
    for unit in units:
        batch.append(unit)
        if sum(len(one.items) for one in batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _begin(make: Make) -> None:
    _made.append(make())


def _job(batch: list[Unit]) -> list[Case]:
    return _work(batch, _made[0])


def _work(batch: Sequence[Unit], made: Made) -> list[Case]:
    trial, recall = made
    records = _recalled([item for unit in batch for item in unit.items], recall)
    cases: list[Case] = []
    for unit in batch:
        cases += run_unit(unit, _next(records, len(unit.items)), trial)
    return cases


def _recalled(items: Sequence[Item], recall: Recall) -> Iterator[Record]:
    for start in range(0, len(items), BATCH):
        yield from recall(items[start : start + BATCH])


def _next(records: Iterator[Record], count: int) -> Iterator[Record]:
    for _ in range(count):
        yield next(records)
