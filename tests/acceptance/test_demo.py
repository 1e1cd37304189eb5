"""`luthien-stream demo` as a newcomer runs it: against `up`, with the policies that it advises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from luthien_stream.cli.demo import ADVICE
from luthien_stream.upstream.demo import COMMAND
from tests.acceptance.gateway import Gateway

pytestmark = pytest.mark.timeout(120)
ADVISED = yaml.safe_load("\n".join(line for line in ADVICE.splitlines() if line.startswith("  ")))


async def test_policies_act_on_the_demo(tmp_path: Path) -> None:
    """Both lanes are in the record: the secret and the deed on one side, neither on the other."""
    async with Gateway(tmp_path, "http://127.0.0.1:9", **ADVISED) as gateway:
        echo, story, deed, answer = (json.loads(line) for line in gateway.command("demo", "--json").splitlines())
        assert "4 calls: 4 same" in gateway.command("replay", "--since", "1h")
        file = str(tmp_path / "calls.jsonl")
        gateway.command("export", "--since", "1h", "--raw", "-o", file)
        assert "4 calls: 4 same" in gateway.command("replay", file)
    assert "hunter2" in echo["original"]
    assert echo["delivered"] == echo["original"].replace("hunter2", "[gone]")
    assert story["delivered"] == story["original"].replace("robot", "ROBOT")
    assert COMMAND in deed["original"]
    assert COMMAND not in deed["delivered"]
    assert deed["verdicts"] == ["block_tools: deny"]
    assert "leave your files alone" in answer["delivered"]


async def test_without_policies_it_says_how_to_have_some(tmp_path: Path) -> None:
    """Everything passes, and the advice follows."""
    async with Gateway(tmp_path, "http://127.0.0.1:9") as gateway:
        plain = gateway.command("demo")
    assert plain.count("\nunchanged; ") == 4
    assert "(the demo runs nothing)" in plain
    assert ADVICE.strip() in plain
