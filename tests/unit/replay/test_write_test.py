"""A recorded call becomes a test that passes now and fails when the policy forgets what it did."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from luthien_stream.cli.main import main
from luthien_stream.policy.catalogue import find
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.record.jsonl import dump
from tests.unit.replay.calls import TOOLS, recorded

POLICY = '''"""Deny what deletes."""
from luthien_stream.policy import Allow, Context, Deny, ToolCall, Verdict, gate


@gate("Bash")
async def no_rm(call: ToolCall, ctx: Context) -> Verdict:
    """Deny it."""
    return Deny(reason="rm") if "rm " in call.arguments else Allow()
'''


def run(folder: Path) -> int:
    """Run the tests of a folder as a user would."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    return subprocess.run(words, cwd=folder, capture_output=True, timeout=60, check=False).returncode


def test_a_recorded_call_becomes_a_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the policy's file, is not written over, and breaks when the policy does."""
    calls, policy, tests = tmp_path / "calls.jsonl", tmp_path / "workers" / "no_rm.py", tmp_path / "tests"
    calls.write_bytes(b"".join(dump([recorded(Pipeline.of(find("noop")()), TOOLS)])))
    policy.parent.mkdir()
    policy.write_text(POLICY)
    words = ["replay", str(calls), "--policy", str(policy), "--write-test", str(tests), "--name", "no rm"]
    assert main(words) == 0
    assert "asserts deny" in capsys.readouterr().out
    assert main(words) == 2
    assert "--force" in capsys.readouterr().err
    assert (tests / "recordings" / "no_rm.jsonl").exists()
    assert run(tests) == 0
    policy.write_text(POLICY.replace('"rm "', '"rmdir "'))
    assert run(tests) == 1
