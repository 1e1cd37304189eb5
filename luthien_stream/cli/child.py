"""What `up` keeps alive: a role in a process of its own, or an embedded server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import structlog

from luthien_stream.embedded.postgres import EmbeddedPostgres
from luthien_stream.embedded.process import last_lines
from luthien_stream.embedded.valkey import EmbeddedValkey

log = structlog.get_logger()

PARENT = "LUTHIEN_PARENT"
"""The environment variable that names the process a role must not outlive."""
LOG_LIMIT = 16 << 20
LOUD = ("warning", "error", "critical")


class Child(Protocol):
    """One thing that `supervise.keep` starts again when it ends."""

    name: str

    async def start(self) -> None: ...
    async def ended(self) -> str:
        """Wait until it has ended and say how."""

    async def stop(self) -> None:
        """End it in good order, by force after its deadline."""

    def kill(self) -> None: ...
    def last_words(self) -> list[str]: ...


class RotatingLog:
    """A log file that is renamed to `.1` at `limit` bytes, so that two files are all it takes."""

    def __init__(self, path: Path, limit: int = LOG_LIMIT) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = path
        self._limit = limit
        self._file = path.open("ab", buffering=0)

    def write(self, line: bytes) -> None:
        """Append one line."""
        if self._file.tell() > self._limit:
            self.close()
            self.path.replace(self.path.with_suffix(".log.1"))
            self._file = self.path.open("ab", buffering=0)
        self._file.write(line)

    def close(self) -> None:
        """Close the file; `write` must not follow."""
        self._file.close()


def role_command(role: str) -> list[str]:
    """How to start a role: the installed command, so that the process list names it, or the module."""
    script = Path(sys.executable).with_name("luthien-stream")
    program = [str(script)] if shutil.which(script) else [sys.executable, "-m", "luthien_stream.cli.main"]
    return [*program, role]


class RoleChild:
    """A role as a child process. Its lines go to its log, warnings to the terminal too; one of them says `ready`."""

    def __init__(self, name: str, command: Sequence[str], logs: Path, *, deadline_s: float) -> None:
        self.name = name
        self.ready = asyncio.Event()
        self.heard: Callable[[str, dict[str, Any]], None] | None = None
        """Is told each line that it writes: name and fields."""
        self._command = command
        self._log = RotatingLog(logs / f"{name}.log")
        self._deadline_s = deadline_s
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._words: deque[str] = deque(maxlen=12)

    async def start(self) -> None:
        """Start the process; `ready` is set when it says so."""
        self._words.clear()
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, PARENT: str(os.getpid()), "LUTHIEN_LOG": "json"},
            start_new_session=True,  # Ctrl-C is ours alone: we end the roles in order
        )
        self._reading = asyncio.create_task(self._read(self._process), name=f"log of {self.name}")

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        rest = b""
        while data := await process.stdout.read(65536):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self._take(line)
        if rest:
            self._take(rest)

    def _take(self, line: bytes) -> None:
        self._log.write(line + b"\n")
        try:
            event = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError:
            text = line.decode(errors="replace")
            self._words.append(text)
            log.warning("child_says", child=self.name, line=text)
            return
        name = str(event.pop("event", ""))
        if name == "ready":
            self.ready.set()
        if self.heard is not None:
            self.heard(name, event)
        level = str(event.pop("level", "info"))
        for key in ("timestamp", "role"):
            event.pop(key, None)
        self._words.append(" ".join([name, *(f"{key}={value}" for key, value in event.items())]))
        if level in LOUD:
            getattr(log, level)(name, **{**event, "child": self.name})

    async def ended(self) -> str:
        """Wait until it has ended and its last line is read."""
        assert self._process is not None
        assert self._reading is not None
        code = await self._process.wait()
        await self._reading
        self.ready.clear()
        return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"

    async def stop(self) -> None:
        """Ask it to drain, and kill it after its deadline."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(self._deadline_s):
                await self.ended()
        except TimeoutError:
            log.warning("child_killed", child=self.name, reason=f"still running after {self._deadline_s:g} s")
            self.kill()
            await self.ended()
        self._log.close()

    def kill(self) -> None:
        """End it now."""
        self._signal(signal.SIGKILL)

    def read_again(self) -> None:
        """Have it read the configuration's pipeline again."""
        self._signal(signal.SIGHUP)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def last_words(self) -> list[str]:
        """The last lines it wrote."""
        return list(self._words)


class ServerChild:
    """An embedded server as something to keep alive."""

    def __init__(self, name: str, server: EmbeddedValkey | EmbeddedPostgres) -> None:
        self.name = name
        self._server = server

    async def start(self) -> None:
        """Start it and wait until it answers."""
        await self._server.start()

    async def ended(self) -> str:
        """Look five times a second whether it has ended."""
        while True:
            if self._server.code is not None:
                return f"exit code {self._server.code}"
            await asyncio.sleep(0.2)

    async def stop(self) -> None:
        """End it in good order."""
        await self._server.stop()

    def kill(self) -> None:
        """End it now."""
        self._server.kill()

    def last_words(self) -> list[str]:
        """The end of its log."""
        return last_lines(self._server.place.log)
