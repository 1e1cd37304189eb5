"""Pages of a list of models, as Anthropic counts them."""

from __future__ import annotations

import pytest

from luthien_stream.edge.models import page_of
from luthien_stream.edge.refusals import RequestInvalid

NAMES = ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(("query", "page", "more"), [
    ({}, "abcde", False),
    ({"limit": "2"}, "ab", True),
    ({"limit": "5"}, "abcde", False),
    ({"limit": "2", "after_id": "b"}, "cd", True),
    ({"limit": "2", "after_id": "c"}, "de", False),
    ({"after_id": "e"}, "", False),
    ({"limit": "2", "before_id": "d"}, "bc", True),
    ({"limit": "2", "before_id": "c"}, "ab", False),
    ({"before_id": "a"}, "", False),
])  # fmt: skip
def test_a_page_and_whether_there_are_more_that_way(query: dict[str, str], page: str, more: bool) -> None:
    """Forwards from the start or after a model, backwards before one."""
    assert page_of(NAMES, query) == (list(page), more)


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "1001"}, {"limit": "x"}, {"after_id": "z"}, {"after_id": "a", "before_id": "b"}]
)
def test_what_is_no_page_is_refused(query: dict[str, str]) -> None:
    """By name."""
    with pytest.raises(RequestInvalid, match=r"limit|model|after_id"):
        page_of(NAMES, query)


def test_every_model_is_on_one_page() -> None:
    """Walking through."""
    names, found, after = [f"m{number}" for number in range(45)], list[str](), ""
    for _ in range(3):
        page, more = page_of(names, {"after_id": after} if after else {})
        found += page
        after = page[-1]
    assert (found, more) == (names, False)
