"""The guide for policy authors: all of its code is run as it stands there."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from luthien_stream.cli.main import main
from luthien_stream.cli.pipeline_check import load_checked
from luthien_stream.policy import Text, ToolCall, run
from luthien_stream.policy.catalogue import find
from luthien_stream.testing.laws import CORPUS, laws
from luthien_stream.testing.rig import reply

GUIDE = Path(__file__).parents[2] / "docs" / "policies.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"# (\S+)\n")
BLOCKS = BLOCK.findall(GUIDE.read_text(encoding="utf-8"))


def files() -> Mapping[str, str]:
    """What the guide says stands in which file."""
    found = {}
    for language, text in BLOCKS:
        name = NAMED.match(text)
        if name is not None:
            found[name[1]] = text if language == "python" else text[name.end() :]
    return found


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all files of the guide, as an author has it."""
    for name, text in files().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(file: Path) -> ModuleType:
    """A file of tests as a module."""
    spec = spec_from_file_location(f"guide_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_block_of_code_is_a_file() -> None:
    """So that nothing of it is only read."""
    unnamed = [text for language, text in BLOCKS if language not in ("sh",) and not NAMED.match(text)]
    assert unnamed == []
    assert {language for language, _ in BLOCKS} <= {"python", "yaml", "json", "sh"}


@pytest.mark.parametrize("name", sorted(name for name in files() if name.startswith("tests/")))
def test_its_tests_pass(project: Path, name: str) -> None:
    """Each of them by itself."""
    tests = [value for key, value in vars(loaded(project / name)).items() if key.startswith("test_")]
    assert tests
    for test in tests:
        test()


@pytest.mark.parametrize("name", sorted(name for name in files() if name.startswith("workers/")))
def test_its_policies_keep_the_laws(project: Path, name: str) -> None:
    """Every one, as an author's test would ask; one that waits for nobody."""
    config: dict[str, dict[str, Any]] = {
        "no_names": {"name": "Alice"},
        "brief": {"characters": 30},
        "second_look": {"model": "m"},
    }
    stem = Path(name).stem
    policy = find(stem, project / "workers")(**config.get(stem, {}))
    laws(policy, CORPUS[1:4], samples=lambda asked: reply(asked, '{"score": 0.9}'))


@pytest.mark.parametrize("name", sorted(name for name in files() if name.endswith(".yaml")))
def test_its_configurations_are_good(project: Path, name: str) -> None:
    """With the policies they name."""
    assert load_checked(project / name).pipeline


def test_its_commands_do_what_it_says(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """All that need no gateway, in order; the figures are those of the text."""
    (project / "workers" / "no_force_push.py").unlink()
    (project / "tests" / "test_no_force_push.py").unlink()
    commands = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]
    assert all(command.startswith("luthien-stream policies ") for command in commands)
    said: dict[str, tuple[list[Any], str]] = {}
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0
        out, err = capfd.readouterr()
        said[command] = [json.loads(line) for line in out.splitlines() if line.startswith("{")], err
    cases, summary = said["luthien-stream policies try no_force_push cases.jsonl"]
    assert [case["verdict"] for case in cases] == ["deny", "allow", "allow"]
    assert "recall 50.00% (1 of 2); missed: short" in summary
    [session] = said["luthien-stream policies try few_deletions session.jsonl"][0]
    assert (session["verdict"], session["reason"]) == ("deny", "turn 3: more than 2 deletions")


def test_what_it_says_of_text_is_so(project: Path) -> None:
    """A name in two pieces, an answer that is too long, a tool that ends the turn."""
    folder = project / "workers"
    assert run(find("no_names", folder)(name="Alice"), [Text("It was Ali"), Text("ce.")]).text == "It was [name]."
    assert run(find("brief", folder)(characters=3), [Text("Hello")]).text == "Hel\n\n[The answer was too long.]"
    assert (
        run(find("old_style", folder)(), [Text("I"), ToolCall("1", "Bash", "{}")]).text
        == "I\n\nBash is not allowed here."
    )
