"""`up` with several stages and a watcher, as processes: workers for each, and another pipeline while it runs."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from tests.integration.up_rig import UpProcess, eventually

STAGED = """
database: none
pipeline:
  - {use: string_replace, with: {replace: [[Hello, Goodbye]]}, stage: first}
  - {use: all_caps, stage: second}
  - {use: noop, mode: shadow}
"""
PLAIN = """
database: none
pipeline:
  - {use: string_replace, with: {replace: [[Hello, Welcome]]}, stage: first}
"""
BAD = """
database: none
pipeline:
  - use: noop
  - {use: nothing_like_it}
"""


def worker(up: UpProcess, stage: str) -> psutil.Process:
    """The worker process of a stage."""
    found = [child for child in up.family()[1:] if _serves(child, stage)]
    assert len(found) == 1
    return found[0]


def _serves(child: psutil.Process, stage: str) -> bool:
    try:
        words = child.cmdline()
    except psutil.Error:
        return False
    return words[-2:] == ["--stage", stage]


def says(up: UpProcess, text: str) -> bool:
    """Whether a call is answered, and so."""
    try:
        return text in up.ask()
    except OSError:
        return False


@pytest.mark.long
def test_stages_are_served_reloaded_and_taken_over(tmp_path: Path) -> None:
    """Each stage has a worker; the watcher's stands back, and its death is nobody's; SIGHUP reaches all of them."""
    with UpProcess(tmp_path, STAGED) as up:
        assert up.process is not None
        assert "GOODBYE" in up.ask()
        assert worker(up, "shadow").nice() == 10
        worker(up, "shadow").send_signal(signal.SIGSTOP)
        assert all("GOODBYE" in up.ask() for _ in range(5))
        worker(up, "shadow").kill()
        assert "GOODBYE" in up.ask()
        worker(up, "second").kill()
        eventually(lambda: says(up, "GOODBYE"), "the second stage's worker is started again")

        (tmp_path / "luthien.yaml").write_text(BAD)
        up.process.send_signal(signal.SIGHUP)
        up.until_said("what is in force stays")
        assert "luthien.yaml:5:" in up.output
        assert "GOODBYE" in up.ask()

        (tmp_path / "luthien.yaml").write_text(PLAIN)
        up.process.send_signal(signal.SIGHUP)
        worker(up, "first").kill()
        eventually(lambda: says(up, "Welcome"), "the other pipeline")
        up.until_said("another pipeline is in force: first@")
        assert up.stop() == 0


@pytest.mark.long
def test_a_watcher_that_comes_with_a_reload_gets_a_worker(tmp_path: Path) -> None:
    """Nobody has to start one by hand."""
    with UpProcess(tmp_path, PLAIN) as up:
        assert up.process is not None
        assert "Welcome" in up.ask()
        (tmp_path / "luthien.yaml").write_text(PLAIN + "  - {use: noop, mode: shadow}\n")
        up.process.send_signal(signal.SIGHUP)
        eventually(lambda: any(_serves(child, "shadow") for child in up.family()[1:]), "a worker for what watches")
        assert "Welcome" in up.ask()
