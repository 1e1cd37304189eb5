"""Every shipped policy over two real recorded streams: what it makes of them stays what it was."""

from __future__ import annotations

import msgspec
import pytest

from tests.corpora import CORPORA
from tests.unit.replay.goldens import FILE, STREAMS, outcome, shipped


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("policy", shipped())
def test_what_a_policy_makes_of_a_stream_stays(policy: str, stream: str) -> None:
    """Verdict, end, and the very bytes."""
    if not (CORPORA / stream).exists():
        pytest.skip(f"{stream} is not there")
    assert outcome(policy, stream) == msgspec.json.decode(FILE.read_bytes())[policy][stream]


def test_no_policy_is_left_out() -> None:
    """A new one needs `python -m tests.unit.replay.goldens`."""
    assert set(msgspec.json.decode(FILE.read_bytes())) == set(shipped())
