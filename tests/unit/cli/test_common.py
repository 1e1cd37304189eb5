"""How a command finds the instance, and what the command line says to a newcomer."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from luthien_stream import __version__
from luthien_stream.cli import doctor
from luthien_stream.cli.checks import CHECKS
from luthien_stream.cli.common import find_instance
from luthien_stream.cli.hold import hold
from luthien_stream.cli.main import GROUPS, main
from luthien_stream.cli.welcome import command, url, welcome
from luthien_stream.config.instance import Instance, write_instance
from luthien_stream.config.load import load_config
from luthien_stream.errors import ConfigError

OWN_SERVERS = "redis: redis://log\ndatabase: none\n"
RUNNING = Instance(os.getpid(), "127.0.0.1:1", "127.0.0.1:2", "unix:///s", "none")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def flags(**values: Path) -> argparse.Namespace:
    """Parsed flags."""
    return argparse.Namespace(**{"data": None, "config": None, **values})


def test_what_runs_in_the_default_folder_is_found() -> None:
    """No flags are needed in the folder where `up` was started."""
    data = Path(".luthien")
    with hold(data):
        write_instance(data, RUNNING)
        assert find_instance(flags()) == RUNNING


def test_a_configuration_with_servers_of_its_own_is_an_instance(tmp_path: Path) -> None:
    """Single roles of a fleet need no `up`."""
    Path("luthien.yaml").write_text(OWN_SERVERS)
    found = find_instance(flags())
    assert (found.redis, found.database, found.config) == ("redis://log", "none", str(tmp_path / "luthien.yaml"))
    assert find_instance(flags(config=Path("luthien.yaml"), data=Path("empty"))) == found


def test_what_was_named_by_a_flag_counts(tmp_path: Path) -> None:
    """With an instance and a configuration at hand, the flag decides."""
    Path("fleet.yaml").write_text(OWN_SERVERS)
    data = tmp_path / ".luthien"
    with hold(data):
        write_instance(data, RUNNING)
        assert find_instance(flags(config=Path("fleet.yaml"))).redis == "redis://log"
        assert find_instance(flags(config=Path("fleet.yaml"), data=data)) == RUNNING


def test_nothing_running_gets_one_line(tmp_path: Path) -> None:
    """Also where an `up` was killed and left its files."""
    write_instance(tmp_path, RUNNING)
    with pytest.raises(ConfigError, match=r"Nothing runs in .*: start it with `luthien-stream up`, or name its folder"):
        find_instance(flags(data=tmp_path))


def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """The overview lists all commands; each has a help with examples."""
    names = [name for group in GROUPS.values() for name in group]
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    overview = capsys.readouterr().out
    for name in names:
        assert f"  {name} " in overview
        with pytest.raises(SystemExit, match="0"):
            main([name, "--help"])
        assert f"luthien-stream {name}" in capsys.readouterr().out.split("examples:")[1]


def test_wrong_usage_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown command, no command, and a failure each have their exit code."""
    with pytest.raises(SystemExit, match="2"):
        main(["upp"])
    assert main([]) == 2
    assert main(["validate", "nowhere.yaml"]) == 1
    assert "nowhere.yaml does not exist: name the configuration with --config" in capsys.readouterr().err
    for words in (["up", "--edges", "x"], ["calls", "--limit", "0"]):
        with pytest.raises(SystemExit, match="2"):
            main(words)
        assert f"{words[-1]!r} is no whole number above 0" in capsys.readouterr().err


def test_help_fits_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Explanations are broken where the terminal ends; examples stay as they can be typed."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in [name for group in GROUPS.values() for name in group]:
        with pytest.raises(SystemExit, match="0"):
            main([name, "--help"])
        explanation = capsys.readouterr().out.split("\noptions:")[0]
        assert max(map(len, explanation.splitlines())) <= 80


def test_help_is_quick_for_it_imports_no_command() -> None:
    """`--help` and `--version` load neither aiohttp nor asyncpg."""
    program = (
        "import sys; from luthien_stream.cli.main import main\ntry: main(['--version'])\nfinally: print(*sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.startswith(f"luthien-stream {__version__}\n")
    assert not {"aiohttp", "asyncpg", "redis", "yaml"} & set(output.split())


def test_validate_prints_each_problem_with_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """For people as FILE:LINE, for programs as one JSON object per line; policies are looked for too."""
    path = Path("luthien.yaml")
    path.write_text(
        "listen: 127.0.0.1:1\npipeline:\n  - use: noop\n  - use: nooop\n  - {use: token_limit, with: {limt: 3}}\n"
    )
    assert main(["validate"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{path.absolute()}:4: There is no policy 'nooop'; near it: noop")
    assert lines[1].startswith(f"{path.absolute()}:5: The policy 'token_limit' cannot take its `with`")
    assert main(["validate", "--json"]) == 1
    assert [json.loads(line)["line"] for line in capsys.readouterr().out.splitlines()] == [4, 5]
    path.write_text("pipeline: [{use: noop}]\n")
    for words in ([], ["luthien.yaml"], ["--config", "luthien.yaml"]):
        assert main(["validate", *words]) == 0
        assert "good. Policies: noop" in capsys.readouterr().out


def test_doctor_names_its_checks() -> None:
    """The flag offers what there is."""
    assert tuple(CHECKS) == doctor.CHECK_NAMES


def test_doctor_without_an_instance_says_how_to_start_one(capsys: pytest.CaptureFixture[str]) -> None:
    """It still looks at programs and configuration."""
    assert main(["doctor", "--json"]) == 1
    findings = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert findings[0]["state"] == "fail"
    assert "luthien-stream up" in findings[0]["message"]
    assert {finding["check"] for finding in findings} >= {"instance", "programs", "configuration"}


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:80", "http://127.0.0.1:80"),
        ("0.0.0.0:80", "http://127.0.0.1:80"),
        ("[::1]:80", "http://[::1]:80"),
        ("[::]:80", "http://[::1]:80"),
        ("localhost:80", "http://localhost:80"),
    ],
)
def test_the_printed_url_works_from_this_machine(listen: str, expected: str) -> None:
    """An address for all interfaces is no address to connect to."""
    assert url(listen) == expected


def test_the_welcome_has_what_to_copy(tmp_path: Path) -> None:
    """A curl, the variable for Claude Code, the SDKs, and how to watch this very instance."""
    text = welcome(load_config(None, {}), RUNNING, tmp_path / "my data")
    assert "curl -sN http://127.0.0.1:1/v1/chat/completions \\\n" in text
    assert "ANTHROPIC_BASE_URL=http://127.0.0.1:1 claude" in text
    assert f"{command()} tail --data '{tmp_path}/my data'" in text
    assert "secret_redact (only watches) → hidden_text → shell_guard → sensitive_write → sql_protection" in text
    assert "the default" in text
    assert "KEY" not in text


@pytest.mark.parametrize(
    ("mode", "claude", "sdk"),
    [
        (
            "keys",
            "ANTHROPIC_AUTH_TOKEN=YOUR-GATEWAY-KEY claude",
            'OpenAI(base_url="http://127.0.0.1:1/v1", api_key="YOUR',
        ),
        (
            "both",
            "ANTHROPIC_CUSTOM_HEADERS='x-luthien-key: YOUR-GATEWAY-KEY' claude",
            '", default_headers={"x-luthien-key',
        ),
    ],
)
def test_the_welcome_says_where_the_gateways_key_goes(tmp_path: Path, mode: str, claude: str, sdk: str) -> None:
    """In its place alone, or beside the provider's."""
    path = tmp_path / "luthien.yaml"
    path.write_text(f"auth: {{mode: {mode}, keys: [{{key: k}}]}}\n")
    text = welcome(load_config(path, {}), RUNNING, tmp_path)
    for words in ("-H 'x-luthien-key: YOUR-GATEWAY-KEY'", claude, sdk):
        assert words in text


def test_the_printed_command_can_be_typed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name where the shell finds it, its path in a checkout whose environment is not activated."""
    folder = Path(sys.executable).parent
    if not (folder / "luthien-stream").exists():
        pytest.skip("not installed")
    monkeypatch.setenv("PATH", str(folder))
    assert command() == "luthien-stream"
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(folder.parent.parent)
    assert command() == os.path.relpath(folder / "luthien-stream")
