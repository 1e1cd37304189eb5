"""`luthien-stream up` with a route that needs litellm: a role of its own, restarted, and gone with the others."""

from __future__ import annotations

import stat
from pathlib import Path

import psutil
import pytest

from luthien_stream.config.instance import upstream_socket
from tests.integration.up_rig import UpProcess, eventually

CONFIGURATION = """\
redis: {redis}
database: none
model_list: [{{model_name: fast, litellm_params: {{model: groq/x, api_key: k, mock_response: Hello from litellm}}}}]
guardrails: []
"""
MEMORY_MB = 400
"""What it may take once loaded; measured 230 to 260."""


@pytest.mark.parametrize("redis", ["embedded", "memory"])
def test_litellm_is_a_role_of_its_own(tmp_path: Path, redis: str) -> None:
    """Ready with the others, behind a socket of this user's, back after a kill; said what of the file has no effect."""
    with UpProcess(tmp_path, CONFIGURATION.format(redis=redis)) as up:
        assert up.ask(model="fast") == "Hello from litellm"
        victim, socket = up.role("upstream"), upstream_socket(up.data)
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        assert victim.memory_info().rss < MEMORY_MB * 1_000_000
        assert "`guardrails` is LiteLLM's" in up.output
        assert "litellm listens on" in up.command("doctor", "--only", "upstream").stdout
        victim.kill()
        psutil.wait_procs([victim], timeout=10)
        eventually(lambda: answers(up), "litellm answers again")
        assert up.role("upstream").pid != victim.pid
    assert not socket.exists()


def test_it_is_not_started_where_nothing_needs_it(tmp_path: Path) -> None:
    """It would cost seconds and memory."""
    with UpProcess(tmp_path, "redis: memory\ndatabase: none\n") as up:
        assert up.ask() == "Hello"
        assert len(up.family()) == 1


def answers(up: UpProcess) -> bool:
    """Whether the model behind litellm answers now."""
    try:
        return up.ask(model="fast") == "Hello from litellm"
    except OSError:
        return False
