"""`string_replace` replaces strings wherever the provider cut the text."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthien_stream.events.answer import Part
from luthien_stream.policy import PartEnd, Text, ToolCall, run
from luthien_stream.testing.laws import laws
from tests.unit.workers.configured import made

PART = Part("f", "text", 0)


def replaced(replace: list[tuple[str, str]], *texts: str) -> list[str]:
    """The texts that leave, one for each event."""
    left = run(made("string_replace", replace=replace), [*(Text(text, PART) for text in texts), PartEnd(PART)])
    return [event.text for event in left.events if isinstance(event, Text)]


def test_matches_across_frames() -> None:
    """The replacement stands where the match began."""
    assert replaced([("password", "***")], "my pass", "wo", "rd is") == ["my ***", " is"]


def test_text_that_begins_no_match_is_not_held() -> None:
    """Only what may go on to be a match waits for more."""
    edits = made("string_replace", replace=[("password", "***")]).edits  # type: ignore[attr-defined]
    assert edits("hello wor", False) == (9, [])
    assert edits("my pass", False) == (3, [])
    assert edits("my pass", True) == (7, [])


def test_a_replacement_is_not_looked_at_again() -> None:
    """Swapping works, and nothing grows without end."""
    assert "".join(replaced([("a", "b"), ("b", "a")], "ab", "ba")) == "baab"
    assert "".join(replaced([("a", "aa")], "aa")) == "aaaa"


def test_the_first_listed_wins() -> None:
    """Of two that match at one place; a longer one listed first is waited for."""
    assert "".join(replaced([("abc", "1"), ("ab", "2")], "ab", "c", "ab")) == "12"
    assert "".join(replaced([("ab", "2"), ("abc", "1")], "abc")) == "2c"


def test_tool_calls_stay() -> None:
    """Only text is replaced."""
    call = ToolCall("1", "t", '{"a":"x"}')
    assert run(made("string_replace", replace=[("x", "y")]), [call]).tool_calls == [call]


def test_an_empty_string_is_refused() -> None:
    """It would match everywhere."""
    with pytest.raises(msgspec.ValidationError, match="empty string"):
        made("string_replace", replace=[("", "x")])


PAIRS = st.lists(st.tuples(st.text("abc", min_size=1, max_size=4), st.text("xyab", max_size=3)), min_size=1, max_size=3)


@given(PAIRS, st.lists(st.text("abc", min_size=1, max_size=3), max_size=12))
def test_cuts_do_not_matter(pairs: list[tuple[str, str]], pieces: list[str]) -> None:
    """However the text is cut, the result is that of the whole text."""
    targets = dict(reversed(pairs))
    pattern = "|".join(re.escape(source) for source, _ in pairs)
    whole = re.sub(pattern, lambda found: targets[found.group()], "".join(pieces))
    assert "".join(replaced(pairs, *pieces)) == whole


def test_laws() -> None:
    """It holds to the laws of all policies."""
    laws(made("string_replace", replace=[("password", "***"), ("pass", "go by"), ("found: ", ""), ("one piece.", "1")]))
