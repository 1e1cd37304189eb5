"""The measurement measures: bodies come out of HTTP's framing whole, and figures are what they say."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthien_stream.testing.provider import FakeProvider
from luthien_stream.testing.scenarios import parse
from tests.bench import load
from tests.bench.figures import FULL, PACED, Figures, Ratio
from tests.bench.load import Load, Sample
from tests.bench.wire import Reply

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def arrived(raw: bytes, cuts: list[int]) -> Reply:
    """A reply whose bytes came in pieces."""
    reply = Reply(0)
    edges = sorted({0, len(raw), *(cut % len(raw) for cut in cuts)})
    reply.arrivals = [(at, raw[a:b]) for at, (a, b) in enumerate(pairwise(edges))]
    return reply


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(0, 2000), max_size=30))
def test_chunked_bodies_come_out_whole(pieces: list[bytes], cuts: list[int]) -> None:
    """However the bytes arrive, the body is what was sent."""
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    reply = arrived(HEAD + framed + b"0\r\n\r\n", cuts)
    assert reply.body() == b"".join(pieces)


@pytest.mark.parametrize(
    "one",
    [
        Load("full", "text-20+timed", streams=3, times=2),
        Load("paced", "text-5@50+timed", streams=3, times=1),
        Load("whole", "text-20", streams=2, times=3, streamed=False),
    ],
    ids=lambda one: str(one.name),
)
async def test_a_load_without_a_proxy_is_exact(one: Load) -> None:
    """Against the provider itself every answer is what the scenario says, and each piece has its latency."""
    async with FakeProvider() as provider:
        sample = await load.run(provider.url, one)
    assert sample.errors == []
    assert sample.exact == sample.requests == one.streams * one.times
    assert len(sample.first) == sample.requests
    assert len(sample.late) == (sample.requests * parse(one.model).count if one.streamed else 0)
    assert all(late > 0 for late in sample.late)


async def test_errors_are_counted() -> None:
    """An answer that is none is an error, and never exact."""
    async with FakeProvider() as provider:
        refused = await load.run(provider.url, Load("full", "error-500", streams=1, times=1))
        broken = await load.run(provider.url, Load("full", "break-3", streams=1, times=1))
    assert (len(refused.errors), refused.exact) == (1, 0)
    assert (len(broken.errors), broken.exact) == (1, 0)


def test_what_is_added_is_counted_from_the_same_round() -> None:
    """Latency over no proxy is the median of the rounds' differences."""
    figures = Figures()
    for base in (1_000_000, 9_000_000):
        figures.add("direct", PACED, Sample(seconds=1, chunks=10, late=[base, base]), {})
        figures.add("policy", PACED, Sample(seconds=1, chunks=10, late=[base + 500_000] * 2), {})
    assert figures.added("policy", "paced late p50") == pytest.approx(0.5)
    assert figures.added("policy", "first first p50") is None


def test_ratios_say_what_was_missed() -> None:
    """A bound that does not hold is marked; what was not measured is neither."""
    figures = Figures()
    figures.add("policy", FULL, Sample(seconds=1, chunks=1000), {"edge": 0.03, "worker": 0.01})
    figures.add("passthrough", FULL, Sample(seconds=1, chunks=1000), {"passthrough": 0.01})
    ratios = {ratio.says: ratio for ratio in figures.ratios()}
    assert ratios["CPU/chunk over pass-through"].value == pytest.approx(4)
    assert str(ratios["CPU/chunk over pass-through"]).endswith("MISSED")
    assert ratios["chunks/s over LiteLLM"].reached is None
    assert list(figures.by_role("policy", "full cpu us")) == ["edge", "worker"]
    assert Ratio("rate", 25, "x", 20, at_least=True).reached is True
