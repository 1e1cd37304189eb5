"""What ended calls asked is kept for a while, within bounds."""

from __future__ import annotations

from typing import Any

from luthien_stream.edge.asked import Asked, Published
from luthien_stream.edge.recent import KEPT_BYTES, KEPT_CALLS, KEPT_S, Recent
from luthien_stream.formats import LENSES


def asked(size: int = 10) -> Asked:
    """A request whose body has so many bytes, twice."""
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}]}'.ljust(size // 2)
    nothing: Any = None
    return Asked(
        format="openai_chat",
        lens=LENSES["openai_chat"],
        path="",
        query="",
        headers=(),
        view=LENSES["openai_chat"].request(body),
        route=nothing,
        caller=nothing,
        vault=nothing,
        published=Published("", (), body, "", "", ""),
    )


def test_it_is_forgotten_after_a_while() -> None:
    """The next one that is kept throws it out."""
    now = [0.0]
    recent, one = Recent(lambda: now[0]), asked()
    recent.keep("a", one)
    now[0] = KEPT_S - 1
    assert recent.find("a") is one
    assert recent.find("b") is None
    now[0] = KEPT_S
    assert recent.find("a") is None
    recent.keep("b", one)
    assert recent.size == 2 * len(one.view.body)


def test_it_is_bounded_in_number_and_bytes() -> None:
    """The oldest go first; one that is too large alone is not kept."""
    recent = Recent(lambda: 0.0)
    for number in range(KEPT_CALLS + 1):
        recent.keep(str(number), asked())
    assert recent.find("0") is None
    assert recent.find("1") is not None
    for name in ("x", "y", "z"):
        recent.keep(name, asked(KEPT_BYTES // 2))
        assert recent.size <= KEPT_BYTES
    assert [recent.find(name) is None for name in ("1", "x", "y", "z")] == [True, True, False, False]
    recent.keep("all", asked(KEPT_BYTES + 2))
    assert recent.find("all") is None
    assert recent.size == 0
