"""Backtests: figures that are known, gates, the same bytes however many processes, and a page that is safe to open."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from luthien_stream.cli.main import main
from luthien_stream.policy.catalogue import find
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.record.jsonl import dump
from luthien_stream.replay.metrics import Scored, auroc, recall, safety, threshold
from luthien_stream.upstream.script import Answer, Say, words
from tests.unit.replay.calls import TALK, TOOLS, recorded

EVIL = Answer("m", (Say(words("<script>alert(1)</script> & more of it")),))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Four calls, one of them with a command that destroys; labelled."""
    noop = Pipeline.of(find("noop")())
    calls = [recorded(noop, answer, number=n) for n, answer in enumerate((TALK, TOOLS, EVIL, TALK))]
    for number, call in enumerate(calls):
        call.label = "attack" if number == 1 else "benign"
    path = tmp_path / "calls.jsonl"
    path.write_bytes(b"".join(dump(calls)))
    return path


def backtest(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run the command: exit code and what it printed."""
    code = main(["backtest", *words])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_what_would_have_changed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A matrix, the changed call with the command that opens it, and how well it tells attacks."""
    code, out, _ = backtest(capsys, "--policy", "shell_guard", "--file", str(file), "--json", "--jobs", "1")
    found = json.loads(out)
    assert code == 0
    assert found["matrix"] == {"allow": {"allow": 3, "deny": 1}}
    assert (found["newly_blocked"], found["changed"]["calls"]["count"]) == (1, 1)
    assert found["changed_calls"][0]["call"].endswith("01")
    assert found["by_call"]["figures"]["auroc"]["value"] == 1.0
    assert found["by_call"]["figures"]["recall@1%"]["value"] == 1.0


def test_the_same_backtest_gives_the_same_bytes(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On one process, on two, and again."""
    words = ("--policy", "all_caps", "--file", str(file))
    first = backtest(capsys, *words, "--jobs", "1")[1]
    assert "diff" in first
    assert [backtest(capsys, *words, "--jobs", jobs)[1] for jobs in ("2", "1")] == [first, first]


@pytest.mark.parametrize(
    ("gate", "code", "said"),
    [
        (("--max-changed", "30%"), 0, ""),
        (("--max-changed", "0.5%"), 1, "--max-changed"),
        (("--max-new-blocks", "0"), 1, "1 above the 0"),
        (("--min-recall-at-fpr", "0.8@1%"), 0, ""),
        (("--min-recall-at-fpr", "much"), 2, "0.8@1%"),
    ],
)
def test_gates(file: Path, capsys: pytest.CaptureFixture[str], gate: tuple[str, ...], code: int, said: str) -> None:
    """Exit code 1 says which and by how much, 2 that it is not written right."""
    found = backtest(capsys, "--policy", "shell_guard", "--file", str(file), "--jobs", "1", *gate)
    assert found[0] == code
    assert said in found[2]


def test_hidden_chance_is_caught(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 3."""
    policy = tmp_path / "dice.py"
    policy.write_text(
        "import random\nfrom luthien_stream.policy import Policy, Text\n\n\nclass Dice(Policy):\n"
        "    async def response(self, events, ctx):\n        async for event in events:\n"
        "            yield event.with_text(str(random.random())) if isinstance(event, Text) else event\n"
    )
    code, out, _ = backtest(capsys, "--policy", str(policy), "--file", str(file), "--jobs", "1")
    assert code == 3
    assert "nondeterministic" in out


VOID = ("meta", "line", "rect", "polyline", "br")


class Page(HTMLParser):
    """What a page has that could reach out, or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.bad: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.bad += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "style") or name.startswith("on")]
        self.bad += [tag] if tag in ("script", "link", "iframe", "img", "object") else []

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self.open.pop() == tag


def test_the_page_is_safe(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Well formed, nothing from elsewhere, nothing that runs, text from outside escaped."""
    path = tmp_path / "page.html"
    backtest(capsys, "--policy", "all_caps", "--file", str(file), "--jobs", "1", "--html", str(path))
    text, page = path.read_text(), Page()
    page.feed(text)
    page.close()
    assert (page.open, page.bad) == ([], [])
    assert "&lt;" in text
    assert "http" not in text.replace("http-equiv", "")


def test_known_figures() -> None:
    """By hand: with ties, and with what has no score."""
    benign = [0.0] * 98 + [0.9, 1.0]
    assert threshold(benign, 0.01) == 1.0
    assert recall([0.95, 1.0], benign, 0.01) == 0.0
    assert recall([0.95, 1.0], benign, 0.05) == 1.0
    assert auroc([0.5], [0.5]) == 0.5
    assert auroc([1.0], [0.0]) == 1.0
    assert auroc([], [0.0]) is None
    scored = [Scored(True, None, True), Scored(True, 0.1), *(Scored(False, 0.2) for _ in range(10))]
    assert safety(scored, 0.1) == 0.5
