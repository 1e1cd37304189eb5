"""Fixtures of the command line's tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from luthien_stream.cli.main import main
from tests.unit.cli.trying import POLICIES, Lines, Try


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Try:
    """Run `policies try` over cases in a folder of its own; return exit code, lines, and what was said beside."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "workers").mkdir()
    for name, source in POLICIES.items():
        (tmp_path / "workers" / f"{name}.py").write_text(source)

    def run(flags: list[str], *cases: Any) -> tuple[int, Lines, str]:
        text = "\n".join(case if isinstance(case, str) else json.dumps(case) for case in cases)
        (tmp_path / "cases.jsonl").write_text(text)
        code = main(["policies", "try", *flags, "cases.jsonl"])
        out, err = capfd.readouterr()
        return code, [json.loads(line) for line in out.splitlines()], err

    return run
