"""`luthien-stream up` as a process, for tests: started on free ports in a folder of its own, and gone afterwards."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Self

import psutil

from luthien_stream.embedded.place import discard_data

COMMAND = [sys.executable, "-m", "luthien_stream.cli.main"]
DEADLINE_S = 60.0


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Return as soon as `condition` holds. Raises `AssertionError` after the deadline."""
    end = monotonic() + DEADLINE_S
    while not condition():
        assert monotonic() < end, f"never: {what}"
        sleep(0.05)


class UpProcess:
    """One data folder and the `up` that runs in it."""

    def __init__(self, folder: Path, configuration: str = "") -> None:
        self.folder = folder
        self.data = folder / "data"
        self.lines: list[str] = []
        self.process: subprocess.Popen[str] | None = None
        (folder / "luthien.yaml").write_text(configuration)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.stop()
        self.discard()

    def discard(self) -> None:
        """Delete the servers' data, which is not below the folder if we are root."""
        discard_data(self.data)

    def start(self, *flags: str, wait: bool = True) -> Self:
        """Start it, and wait until it says that it is ready."""
        self.lines = []
        addresses = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            [*COMMAND, "up", "--data", str(self.data), "--config", "luthien.yaml", *addresses, *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
        )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        if wait:
            self.until_said("is ready: http")
        return self

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self.lines.append(line)

    @property
    def output(self) -> str:
        """All it has printed so far."""
        return "".join(self.lines)

    def until_said(self, text: str) -> None:
        """Wait until it has printed `text`. Raises `AssertionError` with its output if it ends before."""
        assert self.process is not None
        while self.process.poll() is None and text not in self.output:
            sleep(0.02)
        eventually(lambda: text in self.output, f"{text!r} in:\n{self.output}")

    @property
    def url(self) -> str:
        """The base URL that it printed."""
        found = re.search(r"is ready: (http://\S+)", self.output)
        assert found
        return found[1]

    def family(self) -> list[psutil.Process]:
        """It and all its descendants."""
        assert self.process is not None
        up = psutil.Process(self.process.pid)
        return [up, *up.children(recursive=True)]

    def role(self, name: str) -> psutil.Process:
        """The child whose command line names this role or program."""
        found: list[psutil.Process] = []

        def look() -> bool:
            found[:] = [child for child in self.family()[1:] if self._is(child, name)]
            return bool(found)

        eventually(look, f"a child called {name}")
        return found[0]

    @staticmethod
    def _is(child: psutil.Process, name: str) -> bool:
        try:
            words = child.cmdline()
        except psutil.Error:
            return False
        return any(word == name or Path(word).name == name for word in words)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end of it and of all its family; its exit code."""
        assert self.process is not None
        family = self.family() if self.process.poll() is None else []
        if family:
            self.process.send_signal(number)
        code = self.process.wait(DEADLINE_S)
        gone, alive = psutil.wait_procs(family[1:], timeout=DEADLINE_S)
        assert not alive, f"left behind: {alive} of {gone}"
        return code

    def ask(self, text: str = "Hello", model: str = "demo/echo") -> str:
        """Send one unstreamed call and return the answer's text."""
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"{self.url}/v1/chat/completions", json.dumps(body).encode(), headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=20) as answer:
            content: str = json.load(answer)["choices"][0]["message"]["content"]
            return content

    def answers(self) -> bool:
        """Whether a call gets its answer now."""
        try:
            return "Hello" in self.ask()
        except OSError:
            return False

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run another command on the same data folder."""
        program = [*COMMAND, *words, "--data", str(self.data)]
        return subprocess.run(program, capture_output=True, text=True, timeout=DEADLINE_S, cwd=self.folder, check=False)

    def calls(self) -> list[dict[str, Any]]:
        """The recorded calls."""
        return [json.loads(line) for line in self.command("calls", "--json").stdout.splitlines()]


def run_curl(printed: str) -> str:
    """Run the curl command that `up` printed, as a person would paste it."""
    found = re.search(r"^  (curl (?:.*\\\n)*.*)$", printed, re.MULTILINE)
    assert found
    environment = {**os.environ, "no_proxy": "*"}
    done = subprocess.run(
        ["sh", "-c", found[1]], capture_output=True, text=True, timeout=30, env=environment, check=True
    )
    return done.stdout


HAS_CURL = shutil.which("curl") is not None
