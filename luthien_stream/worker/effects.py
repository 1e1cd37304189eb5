"""Performing what programs wait for. Each effect is a task; its result is adopted, recorded and settled by the owner.

A new owner performs again what was not recorded: an effect happens at least once, its result counts exactly once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import structlog

from luthien_stream.core.program import Want
from luthien_stream.worker.clock import Clock

log = structlog.get_logger()
Perform = Callable[[str, Want], Awaitable[Any]]
"""Takes a call's id and what its program wants; returns what is recorded: anything MessagePack can hold."""
OWN_DEADLINE = frozenset({"ask", "sample"})
"""Kinds whose performers know when nobody waits any more."""
Adopt = Callable[[str, Want, Any], Awaitable[None]]


def failure(error: str, message: str) -> dict[str, str]:
    """Return the recorded result of an effect that failed."""
    return {"error": error, "message": message}


def timer(clock: Clock) -> Perform:
    """Return the performer of `timer`: `args` is when it is due, microseconds since 1970; the result is the same."""

    async def perform(call: str, want: Want) -> Any:
        due = int(want.args)
        await clock.sleep(max(0.0, (due - clock.now_us()) / 1e6))
        return due

    return perform


class Effects:
    """The effects under way in one partition."""

    def __init__(self, performers: Mapping[str, Perform], adopt: Adopt) -> None:
        self._performers = performers
        self._adopt = adopt
        self._tasks: dict[str, set[asyncio.Task[None]]] = {}

    def start(self, call: str, want: Want) -> None:
        """Begin to perform."""
        task = asyncio.create_task(self._run(call, want), name=f"effect {want.kind}")
        self._tasks.setdefault(call, set()).add(task)
        task.add_done_callback(lambda done: self._tasks.get(call, set()).discard(done))

    def stop(self, calls: Iterable[str]) -> None:
        """Give up what closed calls waited for."""
        for call in calls:
            for task in self._tasks.pop(call, set()):
                task.cancel()

    async def close(self) -> None:
        """Give up everything."""
        tasks = [task for of_call in self._tasks.values() for task in of_call]
        self.stop(list(self._tasks))
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, call: str, want: Want) -> None:
        await self._adopt(call, want, await self._value(call, want))

    async def _value(self, call: str, want: Want) -> Any:
        perform = self._performers.get(want.kind)
        if perform is None:
            return failure("unsupported", f"This worker cannot perform {want.kind!r}")
        try:
            async with asyncio.timeout(None if want.kind in OWN_DEADLINE else want.timeout_s):
                return await perform(call, want)
        except TimeoutError:
            return failure("timeout", f"No result within {want.timeout_s} s")
        except Exception as error:  # noqa: BLE001 - the boundary of the task: its failure is the result
            log.warning("effect_failed", call=call, kind=want.kind, error=type(error).__name__)
            return failure("failed", type(error).__name__)
