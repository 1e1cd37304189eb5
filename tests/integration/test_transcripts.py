"""An agent's transcripts become sessions on record, and a policy is tried on them before anybody enforces it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from luthien_stream.cli.main import main
from tests.corpora import lines_of
from tests.integration.activity_rig import database

TRANSCRIPTS = 6
FILE = "agent_transcripts.jsonl"
POLICY = {"pipeline": [{"use": "block_tools", "with": {"rules": [{"tool": "update_*"}]}}]}

Run = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An instance with a record of its own, and the first transcripts in a file."""
    place: Path = tmp_path_factory.mktemp("transcripts")
    some = [json.dumps(transcript) for transcript in lines_of(FILE)[:TRANSCRIPTS]]
    (place / "some.jsonl").write_text("\n".join(some))
    (place / "candidate.yaml").write_text(json.dumps(POLICY))
    with asyncio.Runner() as runner:
        context = database(place / "postgres")
        server = runner.run(context.__aenter__())
        (place / "luthien.yaml").write_text(f"redis: redis://127.0.0.1:1\ndatabase: {json.dumps(server.dsn)}\n")
        yield place
        runner.run(context.__aexit__(None, None, None))


@pytest.fixture
def run(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run a command that must end with one of these codes; return what it printed."""

    def run(*words: str, codes: tuple[int, ...] = (0,)) -> str:
        code = main([*words, "--config", str(folder / "luthien.yaml"), "--data", str(folder / "data")])
        out = capfdbinary.readouterr()
        assert code in codes, out.err.decode()
        return out.out.decode()

    return run


def test_transcripts_are_imported_as_sessions_and_backtested(folder: Path, run: Run) -> None:
    """Each turn of the model is a call; the same backtest twice prints the same bytes and says what would change."""
    said = run("import", str(folder / "some.jsonl"))
    assert f"in {TRANSCRIPTS} sessions read" in said
    assert "read, 0 of them new" in run("import", str(folder / "some.jsonl"))
    assert "hold" in run("verify")
    sessions = [json.loads(line) for line in run("sessions", "--json", "--limit", "100").splitlines()]
    assert len(sessions) == TRANSCRIPTS
    calls = [json.loads(line) for line in run("calls", "--json", "--limit", "1000").splitlines()]
    assert len(calls) == sum(session["calls"] for session in sessions)
    assert len(calls) > 3 * TRANSCRIPTS

    words = ("backtest", "--pipeline", str(folder / "candidate.yaml"), "--unit", "session", "--json")
    first = run(*words, codes=(0, 1))
    assert first == run(*words, codes=(0, 1))
    report = json.loads(first)
    assert report["calls"] == len(calls)
    assert report["changed"]["calls"]["count"] > 0, "updates were asked for in these transcripts"
    run("backtest", "--pipeline", str(folder / "candidate.yaml"), "--max-changed", "0", codes=(1,))
