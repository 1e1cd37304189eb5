"""The processes of a system under test: started, waited for, counted, ended."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import defaultdict
from collections.abc import AsyncIterator

import psutil


@contextlib.asynccontextmanager
async def started(*words: str) -> AsyncIterator[tuple[str, int]]:
    """Run a Python module as a process; give its first line (its URL) and its process id."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", *words, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            line = await process.stdout.readline()
        yield line.decode().strip(), process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def family(pid: int | None) -> list[psutil.Process]:
    """A process and all below it."""
    if pid is None:
        return []
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def cpu_seconds(pid: int | None) -> dict[str, float]:
    """CPU time of a process and all below it, user and system, by role."""
    found: dict[str, float] = defaultdict(float)
    for process in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            found[role_of(process)] += times.user + times.system
    return found


def memory(pid: int | None) -> dict[str, int]:
    """Resident bytes by role; of several processes of one role the largest."""
    found: dict[str, int] = {}
    for process in family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            role = role_of(process)
            found[role] = max(found.get(role, 0), process.memory_info().rss)
    return found


def role_of(process: psutil.Process) -> str:
    """The role that a command line names: `luthien-stream worker` is a worker, others go by module or program."""
    words = process.cmdline()
    if "tests.bench.passthrough" in words:
        return "passthrough"
    for at, word in enumerate(words[:-1]):
        if word.endswith(("luthien-stream", "luthien_stream")) and words[at + 1].isalpha():
            return words[at + 1]
    return process.name()
