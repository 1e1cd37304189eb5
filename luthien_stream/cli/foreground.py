"""A program that has the terminal to itself while we wait: signals are passed on, its exit code is ours."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from luthien_stream.cli.common import fail

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""What a shell returns for these."""
PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
KEYS = (signal.SIGINT, signal.SIGQUIT)
"""What a terminal sends to everything in its foreground, the program included."""


class Relay:
    """Handles signals for a program; those that come before it has started are kept for it."""

    def __init__(self) -> None:
        self._program: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def start(self, program: subprocess.Popen[bytes]) -> None:
        """Hand on what came early, and from now on what comes."""
        self._program = program
        for number in self._early:
            program.send_signal(number)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        if self._program is None:
            self._early.append(number)
        else:
            self._program.send_signal(number)


def run_in_foreground(words: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the program to its end and return its exit code, 128 + N if signal N ended it."""
    relay = Relay()
    with _handling(relay):
        try:
            program = subprocess.Popen(words, env=environ)
        except FileNotFoundError:
            fail(f"{words[0]}: no such command")
            return NOT_FOUND
        except OSError as error:
            fail(f"{words[0]}: {error.strerror}")
            return NOT_EXECUTABLE
        relay.start(program)
        code = program.wait()
    return code if code >= 0 else 128 - code


@contextmanager
def _handling(relay: Relay) -> Iterator[None]:
    """What is ignored stays so, for the program too; what the terminal sends it by itself is not sent twice."""
    found = {number: signal.getsignal(number) for number in (*PASSED_ON, *KEYS)}
    before = {number: handler for number, handler in found.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, _by_terminal if number in KEYS and os.isatty(0) else relay)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _by_terminal(number: int, frame: FrameType | None) -> None:
    """The program has got it as well and decides."""
