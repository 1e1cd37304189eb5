"""An event loop with a clock and a chance of its own: each step runs one ready callback, drawn by a seed.

Callbacks belong to processes. A process may be paused, so that its callbacks wait while others overtake it, or killed:
its callbacks never run again, not even `finally` blocks, as with SIGKILL.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import random
from collections.abc import Callable, Coroutine
from typing import Any

TICK_S = 0.0005
"""Every step takes this long."""
PROCESS: contextvars.ContextVar[str] = contextvars.ContextVar("process", default="")


class SimLoop(asyncio.SelectorEventLoop):
    """See the module. `on_step` is called before each step with the process that is about to run."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.rng = rng
        self.now = 0.0
        self.steps = 0
        self.paused: dict[str, float] = {}
        self.killed: set[str] = set()
        self._buried: list[Any] = []
        self.orderly = False
        """Clearing up: no more chance."""
        self.on_step: Callable[[str], None] = lambda process: None
        self.everything: list[asyncio.Task[Any]] = []
        self.set_task_factory(self._make_task)  # type: ignore[arg-type]

    def _make_task(self, loop: Any, coro: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **options)
        self.everything.append(task)
        return task

    def time(self) -> float:
        """Virtual seconds."""
        return self.now

    def spawn(self, process: str, coro: Coroutine[Any, Any, None]) -> None:
        """Begin a process."""
        context = contextvars.copy_context()
        context.run(PROCESS.set, process)
        self.create_task(coro, context=context)

    def _run_once(self) -> None:
        inner: Any = self
        self._timers_due(inner)
        ready = [h for h in inner._ready if self._may_run(h)]
        if not ready:
            self._jump(inner)
            return
        ready.sort(key=_process)
        handle = ready[0] if self.orderly else self.rng.choice(ready)
        self.steps += 1
        self.now += TICK_S
        process = _process(handle)
        if not self.orderly:
            self.on_step(process)
        if not self._may_run(handle):
            return
        inner._ready.remove(handle)
        if not handle._cancelled:
            handle._run()

    def _may_run(self, handle: Any) -> bool:
        process = _process(handle)
        return process not in self.killed and self.paused.get(process, 0.0) <= self.now

    def _timers_due(self, inner: Any) -> None:
        while inner._scheduled and (inner._scheduled[0]._cancelled or inner._scheduled[0]._when <= self.now):
            handle = heapq.heappop(inner._scheduled)
            handle._scheduled = False
            if not handle._cancelled:
                inner._ready.append(handle)
        for handle in [h for h in inner._ready if _process(h) in self.killed]:
            inner._ready.remove(handle)
            self._buried.append(handle)

    def _jump(self, inner: Any) -> None:
        """Nothing can run: go on to when something can."""
        times = [until for until in self.paused.values() if until > self.now]
        if inner._scheduled:
            times.append(inner._scheduled[0]._when)
        assert times, "nothing will ever run again"
        self.now = max(self.now, min(times))

    def end(self) -> None:
        """Let every task end, killed ones too, so that nothing is left to the garbage collector."""
        inner: Any = self
        self.orderly = True
        self.killed.clear()
        inner._ready.extend(self._buried)
        self.paused.clear()
        for _ in range(20):
            rest = [task for task in self.everything if not task.done()]
            if not rest:
                break
            for task in rest:
                task.cancel()
            self.run_until_complete(asyncio.wait(rest, timeout=1))
        self.close()


def _process(handle: Any) -> str:
    return str(handle._context.get(PROCESS, ""))
