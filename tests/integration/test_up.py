"""`luthien-stream up` as a person meets it: ready, useful, hard to kill, and gone without a trace."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.up_rig import COMMAND, HAS_CURL, UpProcess, eventually, run_curl

POLICED = "pipeline: [{use: all_caps}]\n"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpProcess]:
    """One instance for all tests that leave it running."""
    with UpProcess(tmp_path_factory.mktemp("up")) as up:
        yield up


@pytest.mark.skipif(not HAS_CURL, reason="no curl")
def test_the_printed_curl_works(up: UpProcess) -> None:
    """Copied and pasted, it streams an answer."""
    assert run_curl(up.output).rstrip().endswith("data: [DONE]")


def test_every_role_is_a_child_that_its_command_line_names(up: UpProcess) -> None:
    """The process list says what runs, and no secret."""
    for role in ("edge", "worker", "activity", "valkey-server", "postgres"):
        assert up.role(role).ppid() == up.family()[0].pid
    instance = json.loads((up.data / "instance.json").read_text())
    words = " ".join(word for process in up.family() for word in process.cmdline())
    assert instance["redis"].split(":")[2].split("@")[0] not in words


def test_doctor_finds_nothing_wrong(up: UpProcess) -> None:
    """Every check answers."""
    done = up.command("doctor", "--json")
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert [finding for finding in findings if finding["state"] == "fail"] == []
    assert {finding["check"] for finding in findings} >= {"log", "record", "edge", "workers", "activity", "files"}
    assert done.returncode == 0


@pytest.mark.parametrize("role", ["worker", "edge", "activity", "valkey-server", "postgres"])
def test_a_killed_child_comes_back_and_the_next_call_works(up: UpProcess, role: str) -> None:
    """SIGKILL of any one of them is a matter of moments."""
    victim = up.role(role)
    victim.kill()
    psutil.wait_procs([victim], timeout=10)
    assert up.role(role).pid != victim.pid
    eventually(up.answers, "a call is answered again")


def test_a_second_up_in_the_same_folder_gets_one_line(up: UpProcess) -> None:
    """It says what to do, and the first one goes on."""
    done = up.command("up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "already runs in" in line
    assert "--data" in line
    assert up.answers()


def test_a_port_in_use_gets_one_line(tmp_path: Path) -> None:
    """It names the flag."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        program = [*COMMAND, "up", "--data", "data", "--listen", address]
        done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"luthien-stream: {address} is in use: stop what listens there, or name another with --listen\n"
    )


def test_no_end_leaves_a_process_and_every_start_finds_its_data(tmp_path: Path) -> None:
    """Ctrl-C ends it in order with exit code 0; SIGKILL takes all descendants along; locks are no obstacle after it."""
    with UpProcess(tmp_path, POLICED) as up:
        assert up.ask("Hello") == "HELLO"
        eventually(lambda: [call["delivered"] for call in up.calls()] == ["complete"], "the call is recorded whole")
        before = up.calls()
        assert up.stop(signal.SIGINT) == 0
        assert not (up.data / "instance.json").exists()
        assert up.command("calls").returncode == 1
        up.start("--workers", "2", "--edges", "2")
        assert up.calls() == before
        assert up.ask("again") == "AGAIN"
        assert up.stop(signal.SIGKILL) == -signal.SIGKILL
        up.start()
        assert up.ask("and again") == "AND AGAIN"


def test_an_end_in_the_middle_of_the_start_leaves_nothing(tmp_path: Path) -> None:
    """SIGTERM while the database is made."""
    up = UpProcess(tmp_path).start(wait=False)
    up.until_said("starting Postgres")
    assert up.stop(signal.SIGTERM) == 0
    up.discard()


def test_in_memory_everything_is_one_process(tmp_path: Path) -> None:
    """`redis: memory` and no database: no server, no child."""
    with UpProcess(tmp_path, POLICED + "redis: memory\ndatabase: none\n") as up:
        assert up.ask("Hello") == "HELLO"
        assert len(up.family()) == 1
        assert up.command("doctor").returncode == 0
        assert up.stop(signal.SIGINT) == 0
