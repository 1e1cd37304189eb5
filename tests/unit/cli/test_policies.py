"""`policies list`, `show` and `new`: what a policy declares, said in full; what is begun works as written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from luthien_stream.cli.main import main
from luthien_stream.cli.new_templates import TEMPLATES
from luthien_stream.cli.policy_facts import facts_of
from luthien_stream.policy.catalogue import built_in, names

FULL = '''
"""What the file does."""
from typing import Literal

from luthien_stream.policy import Policy, Text


class Full(Policy):
    """What the class does."""

    sees = frozenset({Text})
    hold = "block"
    needs = frozenset({"judge", "ask"})

    must: str
    pairs: list[tuple[str, int]] = []  # a comment behind it
    mode: Literal["a", "b"] = "a"
    """Text below it,
    on two lines."""
    silent: float = 0.5  # type: ignore[misc]

    async def response(self, events, ctx):
        async for event in events:
            yield event
'''
REDACTS = """
from luthien_stream.policy import Policy


class Redacts(Policy):
    redacts = True

    async def request(self, request, ctx):
        return request
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `workers/` of a configuration in the working folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "workers"
    folder.mkdir()
    return folder


def test_the_facts_of_a_policy(own: Path) -> None:
    """All that it declares, and what its code says of each field."""
    (own / "full.py").write_text(FULL)
    facts = facts_of("full", own)
    assert (facts.phases, facts.sees, facts.hold) == (("response",), ("Text",), "block")
    assert (facts.effects, facts.fail, facts.path) == (("ask", "judge"), "closed or open", str(own / "full.py"))
    assert facts.doc == "What the file does.\n\nWhat the class does."
    assert [(f.name, f.type, f.required, f.default, f.help) for f in facts.fields] == [
        ("must", "str", True, None, ""),
        ("pairs", "list[tuple[str, int]]", False, [], "a comment behind it"),
        ("mode", "Literal['a', 'b']", False, "a", "Text below it, on two lines."),
        ("silent", "float", False, 0.5, ""),
    ]


def test_what_takes_secrets_out_fails_closed(own: Path) -> None:
    """Whatever `on_error` says; and a request policy sees no events."""
    (own / "redacts.py").write_text(REDACTS)
    facts = facts_of("redacts", own)
    assert (facts.fail, facts.phases, facts.sees, facts.hold) == ("closed", ("request",), (), "none")


def test_the_digest_is_of_the_code(own: Path) -> None:
    """It changes with the file and with nothing else."""
    (own / "full.py").write_text(FULL)
    before = facts_of("full", own).digest
    assert facts_of("full", own).digest == before
    (own / "full.py").write_text(FULL + "# more\n")
    assert facts_of("full", own).digest != before


def test_a_file_that_cannot_be_loaded_is_listed(own: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With what is wrong; the others are there too."""
    (own / "broken.py").write_text("x = 1\n1 / 0\n")
    (own / "full.py").write_text(FULL)
    assert main(["policies", "list", "--json"]) == 0
    found = {one["name"]: one for one in map(json.loads, capfd.readouterr().out.splitlines())}
    assert found.keys() == set(names(own))
    assert "broken.py:2: ZeroDivisionError" in found["broken"]["error"]
    assert found["full"]["error"] == ""
    assert found["noop"]["digest"]
    assert main(["policies"]) == 0
    table = capfd.readouterr().out
    assert "ZeroDivisionError" in table
    assert " pairs" in table
    assert main(["policies", "show", "broken"]) == 1


def test_show_has_an_entry_for_the_configuration(own: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It can be copied; what must be given stands out."""
    (own / "full.py").write_text(FULL)
    assert main(["policies", "show", "full"]) == 0
    page = capfd.readouterr().out
    assert "  mode: Literal['a', 'b'], default \"a\"\n      Text below it, on two lines." in page
    assert "  - use: full\n    with:\n      must: ...  # required: str\n      pairs: []\n" in page
    assert main(["policies", "show", "full", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["example"].startswith("pipeline:\n  - use: full\n")


def test_show_of_nothing_names_what_is_near(own: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """As everywhere."""
    assert main(["policies", "show", "all_cap"]) == 1
    assert "near it: all_caps" in capfd.readouterr().err


@pytest.mark.parametrize("kind", sorted(TEMPLATES))
def test_a_new_policy_passes_its_own_test(own: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    """As written, found by its name, and listed."""
    assert main(["policies", "new", f"my_{kind}", "--kind", kind]) == 0
    assert f"- use: my_{kind}" in capfd.readouterr().out
    test = own.parent / "tests" / f"test_my_{kind}.py"
    space: dict[str, object] = {"__file__": str(test), "__name__": "new_policy"}
    exec(compile(test.read_text(), str(test), "exec"), space)
    tests = [value for name, value in space.items() if name.startswith("test_")]
    assert len(tests) >= 2
    for one in tests:
        assert callable(one)
        one()
    assert facts_of(f"my_{kind}", own).error == ""


def test_the_page_about_policies_has_all_that_are_built_in() -> None:
    """Each with its configuration: what must be given is marked."""
    page = (built_in() / "README.md").read_text()
    rows = {row.split("`")[1]: row for row in page.splitlines() if row.startswith("| `")}
    assert set(names()) <= rows.keys()
    for name in names():
        facts = facts_of(name, None)
        assert [f.name for f in facts.fields if f.required and f"`{f.name}`*" not in rows[name]] == [], name


def test_nothing_is_overwritten(own: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither the policy, nor its test, nor a built-in one without a word."""
    assert main(["policies", "new", "mine"]) == 0
    (own / "mine.py").write_text(FULL)
    assert main(["policies", "new", "mine"]) == 1
    (own / "mine.py").unlink()
    assert main(["policies", "new", "mine"]) == 1
    assert "is there already" in capfd.readouterr().err
    assert not (own / "mine.py").exists()
    assert main(["policies", "new", "noop"]) == 1
    assert "There is a policy 'noop' already" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["Mine", "my-gate", "class", "../x", "1st", "test_x", ""])
def test_a_name_is_a_file_and_a_word(own: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Anything else is refused before a file is made."""
    assert main(["policies", "new", name]) == 1
    assert "cannot name a policy" in capfd.readouterr().err
    assert list(own.iterdir()) == []


def test_new_files_lie_beside_the_configuration(own: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Wherever the command is given."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "luthien.yaml").write_text("")
    assert main(["policies", "new", "mine", "--config", str(folder / "luthien.yaml")]) == 0
    assert (folder / "workers" / "mine.py").exists()
    assert (folder / "tests" / "test_mine.py").exists()
    assert sys.modules.get("mine") is None
