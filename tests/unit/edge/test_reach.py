"""How far back an inbox is kept."""

from __future__ import annotations

from luthien_stream.bus.port import START
from luthien_stream.edge.reach import KEPT_BYTES, KEPT_S, Reach


def test_nothing_goes_before_its_time() -> None:
    """And then mark by mark."""
    reach = Reach()
    assert reach.mark(0.0, "1-0", 100) == START
    assert reach.mark(KEPT_S, "2-0", 200) == START
    assert reach.mark(KEPT_S + 1, "3-0", 300) == "2-0"
    assert reach.mark(2 * KEPT_S + 2, "4-0", 400) == "4-0"


def test_what_is_too_much_goes_early() -> None:
    """The newest mark stays."""
    reach = Reach()
    reach.mark(0.0, "1-0", 0)
    assert reach.mark(1.0, "2-0", KEPT_BYTES) == START
    assert reach.mark(2.0, "3-0", KEPT_BYTES + 1) == "2-0"
    assert reach.mark(3.0, "4-0", 3 * KEPT_BYTES) == "4-0"
