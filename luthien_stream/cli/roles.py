"""The roles of one `up`: child processes, or tasks of this process where the log lives in its memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

import structlog

from luthien_stream.cli.child import RoleChild, role_command
from luthien_stream.config.instance import Instance
from luthien_stream.config.model import Config
from luthien_stream.config.targets import needs_litellm
from luthien_stream.events.slip import SHADOW

log = structlog.get_logger()

EDGE, WORKER, UPSTREAM, ACTIVITY = 0, 1, 1, 2
"""The ranks in which roles stop: no new calls first, then what works on them, then the record."""
DRAIN_S = {EDGE: 30.0, WORKER: 15.0, ACTIVITY: 15.0}

Role = Callable[[Callable[[], None], asyncio.Event], Awaitable[None]]


class TaskChild:
    """A role as a task of this process."""

    def __init__(self, name: str, serve: Role, *, deadline_s: float) -> None:
        self.name = name
        self.ready = asyncio.Event()
        self._serve = serve
        self._deadline_s = deadline_s
        self.again = asyncio.Event()
        """The configuration's pipeline is to be read again."""
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the task."""
        self._stop.clear()
        self._task = asyncio.create_task(self._run(), name=self.name)

    async def _run(self) -> None:
        await self._serve(self.ready.set, self._stop)

    async def ended(self) -> str:
        """Wait until it has ended and say how."""
        assert self._task is not None
        await asyncio.wait([self._task])
        error = None if self._task.cancelled() else self._task.exception()
        if error is not None:
            log.error("role_failed", child=self.name, exc_info=error)
        return repr(error) if error else "no error"

    async def stop(self) -> None:
        """Ask it to drain, and cancel it after its deadline."""
        if self._task is None:
            return
        self._stop.set()
        await asyncio.wait([self._task], timeout=self._deadline_s)
        self.kill()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def kill(self) -> None:
        """End it now."""
        if self._task is not None:
            self._task.cancel()

    def read_again(self) -> None:
        """Have it read the configuration's pipeline again."""
        self.again.set()

    def last_words(self) -> list[str]:
        """None: what it says is on the terminal already."""
        return []


Ranked = tuple[int, RoleChild | TaskChild]


def process(rank: int, name: str, data: Path, role: str, *more: str) -> tuple[int, RoleChild]:
    """A role as a process of its own, with its rank; not started yet."""
    command = [*role_command(role), "--data", str(data), *more]
    return rank, RoleChild(name, command, data / "logs", deadline_s=DRAIN_S[rank])


def stage_workers(data: Path, stage: str, workers: int) -> list[tuple[int, RoleChild]]:
    """The worker processes of one stage: for what only watches one, which must not crowd out the others."""
    count = 1 if stage == SHADOW else workers
    return [process(WORKER, f"worker-{stage}-{i}", data, "worker", "--stage", stage) for i in range(count)]


def make_roles(
    config: Config, instance: Instance, data: Path, names: Sequence[str], *, edges: int, workers: int
) -> list[Ranked]:
    """All roles with their ranks, not started yet. `names` are those of the stages: with several, each has workers."""

    # A process of its own also where the others are tasks: no edge imports litellm.
    upstream = [process(UPSTREAM, "upstream", data, "upstream")] if needs_litellm(config) else []
    if instance.redis == "memory":
        return [*upstream, *_tasks(config, instance, data, workers)]
    return [
        process(ACTIVITY, "activity", data, "activity"),
        *upstream,
        *_workers(data, names, workers),
        *(process(EDGE, f"edge-{number}", data, "edge", "--index", str(number)) for number in range(edges)),
    ]


def _workers(data: Path, names: Sequence[str], workers: int) -> list[tuple[int, RoleChild]]:
    enforcing = [name for name in names if name != SHADOW]
    if len(enforcing) > 1:
        found = [child for name in enforcing for child in stage_workers(data, name, workers)]
    else:
        found = [process(WORKER, f"worker-{number}", data, "worker") for number in range(workers)]
    return found + (stage_workers(data, SHADOW, 1) if SHADOW in names else [])


def _tasks(config: Config, instance: Instance, data: Path, workers: int) -> list[tuple[int, TaskChild]]:
    """All roles on one bus in this process's memory."""
    from luthien_stream.activity.process import serve as activity
    from luthien_stream.bus.memory import MemoryBus
    from luthien_stream.edge.process import serve as edge
    from luthien_stream.worker.process import serve as worker

    bus = MemoryBus()

    def task(rank: int, name: str, serve: Callable[..., Awaitable[None]]) -> tuple[int, TaskChild]:
        def run(ready: Callable[[], None], stop: asyncio.Event) -> Awaitable[None]:
            more = {} if rank == ACTIVITY else {"again": child.again}
            return serve(config, instance, data=data, bus=bus, ready=ready, stop=stop, **more)

        child = TaskChild(name, run, deadline_s=DRAIN_S[rank])
        return rank, child

    return [
        task(ACTIVITY, "activity", activity),
        *(task(WORKER, f"worker-{number}", worker) for number in range(workers)),
        task(WORKER, "worker-shadow", partial(worker, stage=SHADOW)),
        task(EDGE, "edge-0", partial(edge, index=0)),
    ]
