"""One server process: started through `launch`, watched until it answers, stopped with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from luthien_stream.embedded.place import EmbeddedError, Place

LAUNCH = Path(__file__).with_name("launch.py")
LOG_LIMIT = 8 << 20
"""Bytes, checked at the start."""
STEP_S = 0.02
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def last_lines(path: Path, count: int = 8, start: int = 0) -> list[str]:
    """The last lines of a log from byte `start` on; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(start, file.seek(0, os.SEEK_END) - 8192))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]


class ServerProcess:
    """One run of a child process as the place's user; it ends with this process."""

    def __init__(self, name: str, place: Place, *, end: signal.Signals) -> None:
        self.name = name
        self._place = place
        self._end = end
        self._popen: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._watch = -1

    @property
    def pid(self) -> int:
        """The server's process id. Raises `EmbeddedError` if it has not been started."""
        if self._popen is None:
            raise EmbeddedError(f"{self.name} has not been started")
        return self._popen.pid

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs or before it was started."""
        return None if self._popen is None else self._popen.poll()

    def spawn(self, program: Sequence[str | Path], *, lock: int, text: str = "") -> None:
        """Start `program` with `text` as its standard input; it holds the descriptor `lock` as long as it lives."""
        self._rotate()
        watched, command = self._command(program)
        with self._place.log.open("ab") as log:
            self._log_start = log.seek(0, os.SEEK_END)
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=ENVIRONMENT,
                cwd=self._place.run,
                start_new_session=True,
                pass_fds=[descriptor for descriptor in (lock, watched) if descriptor >= 0],
            )
        if watched >= 0:
            os.close(watched)
        assert self._popen.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._popen.stdin as stdin:
            stdin.write(text.encode())

    def _command(self, program: Sequence[str | Path]) -> tuple[int, list[str]]:
        watched = -1
        if sys.platform != "linux":
            watched, self._watch = os.pipe()
        uid, gid = self._place.user or (-1, -1)
        facts = [os.getpid(), int(self._end), uid, gid, watched]
        return watched, [sys.executable, "-I", "-S", str(LAUNCH), *map(str, facts), *map(str, program)]

    def _rotate(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self._place.log.stat().st_size > LOG_LIMIT:
                self._place.log.replace(self._place.log.with_suffix(".1"))

    async def until(self, ready: Callable[[], bool], deadline_s: float) -> None:
        """Wait for `ready`. Raises `EmbeddedError` with the log's last lines if it ends or is not ready in time."""
        end = time.monotonic() + deadline_s
        while not ready():
            if self.code is not None and not ready():  # what it is waited for may be its end
                hint = f"if its data is damaged, move {self._place.data} away and start again"
                raise EmbeddedError(self._complaint(f"ended with code {self.code} instead of starting: {hint}"))
            if time.monotonic() > end:
                self.kill()
                raise EmbeddedError(self._complaint(f"did not answer within {deadline_s:g} s"))
            await asyncio.sleep(STEP_S)

    async def stop(self, deadline_s: float) -> None:
        """End it in good order, after the deadline by force. Nothing happens if it does not run."""
        if self._popen is None:
            return
        if self.code is None:
            self._popen.send_signal(self._end)
        for _ in range(round(deadline_s / STEP_S)):
            if self.code is not None:
                break
            await asyncio.sleep(STEP_S)
        self.kill()

    def kill(self) -> None:
        """End it at once with SIGKILL, and collect it."""
        if self._popen is None:
            return
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()
        if self._watch >= 0:
            os.close(self._watch)
            self._watch = -1

    def _complaint(self, what: str) -> str:
        lines = last_lines(self._place.log, start=self._log_start)
        return "\n  ".join([f"{self.name} {what}; its log is {self._place.log}", *lines])
