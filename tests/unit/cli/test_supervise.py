"""The supervisor: what ends is started again, what keeps ending is given up, and all is stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from luthien_stream.cli.child import RoleChild, RotatingLog
from luthien_stream.cli.supervise import Deaths, Fleet, GaveUp
from tests.wait import wait_until

READY = """print('{"event": "ready", "level": "info"}', flush=True)"""
STAYS = f"{READY}; import time; time.sleep(60)"
SAYS_GOODBYE = f"""
import signal, sys, time
def end(*_):
    print("goodbye", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
{READY}
time.sleep(60)
"""
DEAF = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY}; time.sleep(60)"


def child(tmp_path: Path, program: str, name: str = "child", *, deadline_s: float = 5.0) -> RoleChild:
    """A small Python program as a role."""
    return RoleChild(name, [sys.executable, "-c", program], tmp_path / "logs", deadline_s=deadline_s)


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    """A fleet that is stopped after the test."""
    fleet = Fleet()
    yield fleet
    fleet.kill()
    await fleet.stop()


def pids() -> set[int]:
    """The living children that run one of the programs above; other tests' servers may be there too."""
    return {process.pid for process in psutil.Process().children() if is_role(process)}


def is_role(process: psutil.Process) -> bool:
    """Whether a child is one of these tests' roles."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.cmdline()[:2] == [sys.executable, "-c"]
    except psutil.NoSuchProcess:
        return False


async def test_a_killed_child_is_started_again(fleet: Fleet, tmp_path: Path) -> None:
    """SIGKILL of a child costs a moment only, and the log of the supervisor says how it ended."""
    role = child(tmp_path, STAYS)
    with capture_logs() as logs:
        await fleet.start(role, rank=0)
        await wait_until(role.ready.is_set)
        (first,) = pids()
        os.kill(first, 9)
        await wait_until(lambda: role.ready.is_set() and pids() not in ({first}, set()))
    assert logs == [
        {
            "event": "child_ended",
            "child": "child",
            "how": "killed by SIGKILL",
            "again_in_s": 0.2,
            "log_level": "warning",
        }
    ]


async def test_five_deaths_in_a_minute_are_enough(fleet: Fleet, tmp_path: Path) -> None:
    """The fleet fails with the child's last lines."""
    await fleet.start(child(tmp_path, "print('first'); raise SystemExit('what is wrong')"), rank=0)
    error = await asyncio.wait_for(fleet.failed, 20)
    assert isinstance(error, GaveUp)
    assert str(error).startswith("child ended 5 times within a minute, the last time with exit code 1.")
    assert str(error).endswith("\n  what is wrong")


def test_the_pauses_grow_and_old_deaths_are_forgotten() -> None:
    """0.2 s, doubled each time; who lives for a minute begins anew."""
    now = 0.0
    deaths = Deaths(lambda: now)
    assert [deaths.count() for _ in range(4)] == [0.2, 0.4, 0.8, 1.6]
    now = 61.0
    assert deaths.count() == 0.2
    assert [deaths.count() for _ in range(4)] == [0.4, 0.8, 1.6, None]


async def test_ranks_stop_one_after_the_other(fleet: Fleet, tmp_path: Path) -> None:
    """What takes new work stops before what works on it, whatever the order of their starts."""
    order: list[str] = []

    class Named(RoleChild):
        async def stop(self) -> None:
            await super().stop()
            order.append(self.name)

    for name, rank in (("last", 9), ("second", 1), ("first", 0)):
        role = Named(name, [sys.executable, "-c", SAYS_GOODBYE], tmp_path / "logs", deadline_s=5)
        await fleet.start(role, rank=rank)
        await wait_until(role.ready.is_set)
    await fleet.stop()
    assert order == ["first", "second", "last"]
    assert (tmp_path / "logs" / "first.log").read_text().endswith("goodbye\n")
    assert not pids()


async def test_a_child_that_does_not_stop_is_killed_after_its_deadline(fleet: Fleet, tmp_path: Path) -> None:
    """A deaf child cannot hold up the end."""
    role = child(tmp_path, DEAF, deadline_s=0.2)
    await fleet.start(role, rank=0)
    await wait_until(role.ready.is_set)
    with capture_logs() as logs:
        await fleet.stop()
    assert [entry["event"] for entry in logs] == ["child_killed"]
    assert not pids()


async def test_warnings_reach_the_terminal_and_everything_the_log(fleet: Fleet, tmp_path: Path) -> None:
    """A role's JSON lines are taken apart; what is no JSON is shown as it is; lines end where the role ends them."""
    lines = [
        '{"event": "quiet", "level": "info", "role": "edge"}',
        '{"event": "loud", "level": "warning", "role": "edge", "timestamp": "t", "count": 3}',
        "Fatal Python error",
    ]
    program = f"import sys, time; sys.stdout.write({chr(10).join(lines) + chr(10)!r}); {STAYS}"
    role = child(tmp_path, program)
    with capture_logs() as logs:
        await fleet.start(role, rank=0)
        await wait_until(role.ready.is_set)
    assert logs == [
        {"event": "loud", "count": 3, "child": "child", "log_level": "warning"},
        {"event": "child_says", "line": "Fatal Python error", "child": "child", "log_level": "warning"},
    ]
    assert (tmp_path / "logs" / "child.log").read_text().splitlines()[:3] == lines


async def test_very_long_lines_do_no_harm(fleet: Fleet, tmp_path: Path) -> None:
    """A line of a megabyte is logged and the next one is understood."""
    role = child(tmp_path, f"print('x' * 1_000_000, flush=True); {STAYS}")
    with capture_logs():
        await fleet.start(role, rank=0)
        await wait_until(role.ready.is_set)
    assert (tmp_path / "logs" / "child.log").stat().st_size > 1_000_000


def test_the_log_takes_two_files_at_most(tmp_path: Path) -> None:
    """At its limit the log is renamed, over the one before."""
    with contextlib.closing(RotatingLog(tmp_path / "role.log", limit=100)) as log:
        for number in range(50):
            log.write(b"line %d\n" % number)
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["role.log", "role.log.1"]
    assert all(file.stat().st_size < 120 for file in files)
    assert files[0].read_bytes().endswith(b"line 49\n")
