"""`luthien-stream run` and `setup` as a person meets them: the program gets the gateway, and nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from luthien_stream.embedded.place import discard_data
from tests.integration.up_rig import COMMAND, UpProcess, eventually

CONFIGURATION = "database: none\n"
SHOW = 'printf "%s|%s|%s\\n" "$ANTHROPIC_BASE_URL" "$OPENAI_BASE_URL" "$1"'
ASK_WITH_KEY = 'curl -sS -o /dev/null -w "%{http_code}" -H "x-api-key: $ANTHROPIC_API_KEY" "$OPENAI_BASE_URL/models"'
ASK = 'curl -sS "$OPENAI_BASE_URL/models"'


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing runs."""
    (tmp_path / "luthien.yaml").write_text(CONFIGURATION)
    yield tmp_path
    discard_data(tmp_path / ".luthien")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpProcess]:
    """One gateway that runs already."""
    with UpProcess(tmp_path_factory.mktemp("run"), CONFIGURATION) as up:
        yield up


def own(*words: str) -> list[str]:
    """A `run` whose gateway takes free ports."""
    return [*COMMAND, "run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *words]


def beside(up: UpProcess, *words: str) -> subprocess.CompletedProcess[str]:
    """A `run` for the gateway that runs."""
    return subprocess.run(
        [*COMMAND, "run", "--data", str(up.data), *words], cwd=up.folder, capture_output=True, text=True, timeout=60
    )


def test_a_gateway_is_started_for_the_command_and_ends_with_it(folder: Path) -> None:
    """The program can call it; afterwards no process is left, and progress went to standard error only."""
    done = subprocess.run(own("--", "sh", "-c", ASK), cwd=folder, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    assert "demo/echo" in [model["id"] for model in json.loads(done.stdout)["data"]]
    assert "the gateway is ready" in done.stderr
    assert not (folder / ".luthien" / "instance.json").exists()
    assert [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or ())] == []


def test_the_gateway_ends_when_run_is_killed(folder: Path) -> None:
    """Even SIGKILL leaves no gateway behind."""
    process = subprocess.Popen(
        own("--", "sh", "-c", "echo started; exec sleep 600"), cwd=folder, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    process.stdout.close()
    orphan = [p for p in family if "sleep 600" in " ".join(p.cmdline())]  # the shell, if it has not become it yet
    for p in orphan:
        p.kill()
    eventually(lambda: not any(p.is_running() and p.status() != "zombie" for p in family), "all are gone")


def test_a_gateway_that_cannot_start_says_why(folder: Path) -> None:
    """The words of `up`, and the program does not run."""
    (folder / "luthien.yaml").write_text("pipeline: [{use: no_such_policy}]\ndatabase: none\n")
    done = subprocess.run(own("--", "touch", "ran"), cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "no_such_policy" in done.stderr
    assert not (folder / "ran").exists()


def test_a_running_gateway_is_used(up: UpProcess) -> None:
    """It goes on afterwards; the arguments and the exit code are the program's."""
    done = beside(up, "--", "sh", "-c", f"{SHOW}; exit 7", "sh", "a b")
    assert done.returncode == 7
    assert done.stdout.startswith("http://127.0.0.1:")
    base, openai, argument = done.stdout.strip().split("|")
    assert (openai, argument) == (f"{base}/v1", "a b")
    assert up.answers()


def test_a_client_is_named_where_the_command_does_not_say_it(up: UpProcess) -> None:
    """Vercel's SDK wants `/v1` for both vendors."""
    done = beside(up, "--client", "vercel", "--", "sh", "-c", SHOW)
    base, openai, _ = done.stdout.strip().split("|")
    assert base == openai
    assert base.endswith("/v1")


def test_print_shows_and_does_nothing(up: UpProcess, folder: Path) -> None:
    """With a gateway its address; without one none is started."""
    done = beside(up, "--print", "--", "codex", "exec", "fix the tests")
    assert "model_providers.luthien=" in done.stdout
    assert done.stdout.rstrip().endswith("exec 'fix the tests'")
    plan = subprocess.run(
        [*COMMAND, "run", "--print", "--", "claude"], cwd=folder, capture_output=True, text=True, timeout=30
    )
    assert "export ANTHROPIC_BASE_URL=http://127.0.0.1:8000" in plan.stdout
    assert not (folder / ".luthien").exists()


@pytest.mark.parametrize(("words", "code"), [(["no-such-command-here"], 127), (["/etc/passwd"], 126)])
def test_a_program_that_cannot_be_started_is_said(up: UpProcess, words: list[str], code: int) -> None:
    """With a shell's exit codes."""
    done = beside(up, "--", *words)
    assert done.returncode == code
    assert words[0] in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_reaches_the_program(up: UpProcess, number: signal.Signals) -> None:
    """It decides what to do; its exit code is returned."""
    script = f"trap 'echo caught; exit 9' {number.name[3:]}; echo started; while :; do sleep 0.05; done"
    process = subprocess.Popen(
        [*COMMAND, "run", "--data", str(up.data), "--", "sh", "-c", script],
        cwd=up.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    os.kill(process.pid, number)
    assert process.communicate(timeout=30)[0] == "caught\n"
    assert process.returncode == 9


def test_a_program_that_a_signal_ends_returns_128_and_its_number(up: UpProcess) -> None:
    """As in a shell."""
    assert beside(up, "--", "sh", "-c", "kill -KILL $$").returncode == 137


def test_a_gateway_that_wants_a_key_gets_it_from_the_environment(folder: Path) -> None:
    """Without it the way out is said; with it the program has it, and `--print` does not show it."""
    (folder / "luthien.yaml").write_text(f"{CONFIGURATION}auth: {{mode: keys, keys: [{{key: gw-secret}}]}}\n")
    command = ["sh", "-c", ASK_WITH_KEY]
    environ = {**os.environ, "LUTHIEN_KEY": "gw-secret"}
    missing = subprocess.run(own("--", *command), cwd=folder, capture_output=True, text=True, timeout=90)
    assert missing.returncode == 1
    assert "LUTHIEN_KEY" in missing.stderr
    given = subprocess.run(own("--", *command), cwd=folder, capture_output=True, text=True, timeout=90, env=environ)
    assert given.stdout == "200", given.stderr
    shown = subprocess.run(
        own("--print", "--", *command), cwd=folder, capture_output=True, text=True, timeout=30, env=environ
    )
    assert "YOUR-GATEWAY-KEY" in shown.stdout
    assert "gw-secret" not in shown.stdout + shown.stderr


def test_setup_says_the_running_address(up: UpProcess) -> None:
    """As text, for a shell, and as JSON, the whole list too."""
    text, shell = up.command("setup", "claude"), up.command("setup", "claude", "--shell")
    one, everyone = up.command("setup", "claude", "--json"), up.command("setup", "--json")
    base = json.loads(one.stdout)["gateway"]["url"]
    assert f"ANTHROPIC_BASE_URL={base} " in text.stdout
    assert shell.stdout == f"export ANTHROPIC_BASE_URL={base}\n"
    assert json.loads(one.stdout) in [json.loads(line) for line in everyone.stdout.splitlines()]
    assert up.command("setup", "--shell").returncode == 1
    assert up.command("setup", "netscape").returncode == 2
