"""The whole product as a user starts it: `luthien-stream up` in a folder of its own, and hands on its processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
import psutil
import yaml

from luthien_stream.config.instance import Instance, read_instance
from luthien_stream.embedded.place import discard_data
from tests.wait import wait_until

COMMAND = str(Path(sys.executable).with_name("luthien-stream"))


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Gateway:
    """One `up` with its children. Leaving the context stops it and checks that nothing is left."""

    def __init__(self, folder: Path, provider: str, *, pipeline: Sequence[Mapping[str, Any]] = (), **keys: Any) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.url = f"http://127.0.0.1:{free_port()}"
        self.workers, self.edges = keys.pop("workers", 1), keys.pop("edges", 1)
        self.config = {
            "listen": self.url.removeprefix("http://"),
            "admin": {"listen": f"127.0.0.1:{free_port()}"},
            "providers": {
                "claude": {"base_url": provider, "format": "anthropic_messages", "passthrough": True},
                "gpt": {
                    "base_url": f"{provider}/v1",
                    "format": ["openai_chat", "openai_responses"],
                    "passthrough": True,
                },
            },
            "pipeline": list(pipeline),
            **keys,
        }
        self.process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        await self.stop()
        discard_data(self.data)

    async def start(self) -> None:
        """Start `up` and wait until it serves."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "luthien.yaml").write_text(yaml.safe_dump(self.config))
        self._spawn()
        await wait_until(self.ready, timeout=60)

    def _spawn(self) -> None:
        words = ["up", "--config", str(self.folder / "luthien.yaml"), "--data", str(self.data)]
        words += ["--workers", str(self.workers), "--edges", str(self.edges)]
        with (self.folder / "up.log").open("ab") as output:
            self.process = subprocess.Popen([COMMAND, *words], stdout=output, stderr=subprocess.STDOUT, cwd=self.folder)

    async def stop(self) -> None:
        """Stop it as Ctrl-C does; nothing may be left."""
        assert self.process is not None
        family = [self.up, *self.up.children(recursive=True)] if self.process.poll() is None else []
        self.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self.process.wait, 60)
        await wait_until(lambda: not any(p.is_running() for p in family), timeout=10)

    async def ready(self) -> bool:
        """Whether the edge says so."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"`up` ended:\n{self.output()}")
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.url}/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    def output(self) -> str:
        """What `up` printed."""
        return (self.folder / "up.log").read_text()

    @property
    def up(self) -> psutil.Process:
        """The parent process."""
        assert self.process is not None
        return psutil.Process(self.process.pid)

    @property
    def instance(self) -> Instance:
        """Where its Redis and Postgres are."""
        return read_instance(self.data)

    async def proved(self, calls: int) -> None:
        """So many calls are on record and over, and all hold: against their seals, and when they are run again."""
        await wait_until(lambda: self._over() >= calls, timeout=60)
        said = await asyncio.to_thread(self.command, "replay", "--verify", "--since", "1h")
        assert " same" in said.splitlines()[-1], said

    def replayed(self) -> dict[str, str]:
        """How each recorded call stands when it is run again, by its id: `same`, or what `replay --verify` finds."""
        words = [COMMAND, "replay", "--verify", "--since", "1h", "--json", "--data", str(self.data)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=self.folder)
        assert done.returncode in (0, 3, 5), done.stderr
        return {one["call_id"]: one["status"] for one in map(json.loads, done.stdout.splitlines())}

    def _over(self) -> int:
        said = self.command("calls", "--json", "--limit", "1000")
        return sum(json.loads(line)["outcome"] != "open" for line in said.splitlines())

    def role(self, name: str) -> list[psutil.Process]:
        """The living children of a role (`edge`, `worker`, `valkey`, ...), by their command lines."""
        return [child for child in self.up.children() if _plays(child, name)]

    def command(self, *words: str) -> str:
        """Run a command against it; return its standard output."""
        done = subprocess.run(
            [COMMAND, *words, "--data", str(self.data)], capture_output=True, text=True, timeout=60, cwd=self.folder
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout


def _plays(child: psutil.Process, name: str) -> bool:
    try:
        words = child.cmdline()
        return bool(words) and (Path(words[0]).name.startswith(name) or name in words[1:3])
    except psutil.NoSuchProcess:
        return False


def kill(process: psutil.Process, sign: int = signal.SIGKILL) -> None:
    """Send a signal to a process that we started."""
    os.kill(process.pid, sign)
