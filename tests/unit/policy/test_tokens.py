"""Tokens are counted as the vendor's own vocabulary does, without a network."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from luthien_stream.policy.tokens import count_tokens

LOADS = """
import socket, sys
def closed(*args): raise AssertionError("asked the network")
socket.socket.connect = socket.getaddrinfo = closed
from luthien_stream.policy.tokens import count_tokens
assert "tiktoken" not in sys.modules
assert count_tokens("hello world") == 2
assert "litellm" not in sys.modules
"""


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("hello world", 2), ("Ünïcödé 👩‍🔬", 10), ("<|endoftext|>", 7), ("a" * 800, 100)]
)
def test_counts(text: str, tokens: int) -> None:
    """A marker that a user writes is text."""
    assert count_tokens(text) == tokens


def test_it_is_loaded_late_and_offline() -> None:
    """Neither litellm nor the network is asked, and the environment stays as it is."""
    before = dict(os.environ)
    subprocess.run([sys.executable, "-c", LOADS], check=True, timeout=60)
    assert count_tokens("x") == 1
    assert dict(os.environ) == before
