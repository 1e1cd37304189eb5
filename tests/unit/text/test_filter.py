"""Rules of a filter find the same wherever a text is cut, and hold no more than they must."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthien_stream.events.answer import Text
from luthien_stream.text.filter import Action, Expression, FilterRule, FilterScan, Finds, Words
from luthien_stream.text.flow import Flow, edited


def rule(finds: Finds, action: Action = "mask", name: str = "r", put: str = "#") -> FilterRule:
    return FilterRule(name, finds, action, put)


def filtered(text: str, *rules: FilterRule) -> tuple[str, list[str]]:
    noted: list[str] = []
    return edited(FilterScan(rules, lambda one: noted.append(one.name)), text), noted


def flowed(pieces: Iterable[str], *rules: FilterRule) -> tuple[str, list[str], int]:
    noted: list[str] = []
    flow = Flow(lambda: FilterScan(rules, lambda one: noted.append(one.name)))
    left: list[str] = []
    most = 0
    for piece in pieces:
        left += [out.text for out in flow.take(Text(piece))]
        most = max(most, flow.held)
    return "".join([*left, *(out.text for out in flow.flush())]), noted, most


@pytest.mark.parametrize(
    ("words", "text", "left"),
    [
        (["bad"], "Bad, BAD bad. bad", "#, # #. #"),
        (["bad"], "badly embad bad_ 3bad bad3 bad-ly", "badly embad bad_ 3bad bad3 #-ly"),
        (["café"], "CAFÉ caféine décafé café", "# caféine décafé #"),
        (["straße"], "STRAßE Straße", "# #"),
        (["ab", "ab-cd"], "ab-cd ab-cde ab", "# #-cde #"),
        (["c++", "bad"], "C++11 c++bad c++", "#11 ## #"),
        (["foo bar"], "a foo bar, foo  bar", "a #, foo  bar"),
        (["秘密"], "これは秘密です", "これは#です"),
        (["++"], "+++++", "##+"),
        (["ſ"], "s S ſ", "# # #"),
    ],
)
def test_words(words: list[str], text: str, left: str) -> None:
    """Whatever the case, and not inside other words."""
    assert filtered(text, rule(Words(words)))[0] == left
    assert flowed(text, rule(Words(words)))[0] == left


def test_words_wait_only_where_one_may_have_begun() -> None:
    """And for what follows them."""
    pieces = ["a ba", "nd, bad", "ly ", "hello wor", "ld"]
    scan = FilterScan([rule(Words(["bad"]))], lambda one: None)
    assert [scan.more(piece) for piece in pieces] == [2, 8, 14, 23, 25]


def test_expressions() -> None:
    """What is longer than a match can be is none."""
    number = rule(Expression(r"\b[0-9]{3}-[0-9]{4}\b", 8))
    assert filtered("555-1234 5555-1234 555-12345 (555-1234)", number)[0] == "# 5555-1234 555-12345 (#)"
    between = rule(Expression("<.*>", 5))
    assert filtered("<a> <abc> <abcd>", between)[0] == "# # <abcd>"
    assert filtered("<a><b> <", between)[0] == "## <"
    assert flowed("x" * 100, number)[2] == 8


EXPRESSIONS = ("ab+", "a.*b", r"\ba", "b$", "^a", "(?:ab|ba)+", "[^a]c")
RULES = st.lists(
    st.one_of(
        st.builds(lambda one, size: Expression(one, size), st.sampled_from(EXPRESSIONS), st.integers(1, 6)),
        st.builds(Words, st.lists(st.text("ab c+", min_size=1, max_size=4), min_size=1, max_size=3)),
    ),
    min_size=1,
    max_size=3,
)
ACTIONS = st.lists(st.sampled_from(["mask", "mask", "flag", "stop"]), min_size=3, max_size=3)


@given(RULES, ACTIONS, st.lists(st.text("ab c+\n", min_size=1, max_size=5), max_size=12))
def test_cuts_do_not_matter(finds: list[Finds], actions: Sequence[Action], pieces: list[str]) -> None:
    """However a text is cut, what leaves and what is noted is that of the whole."""
    rules = [rule(one, action, str(i), str(i)) for i, (one, action) in enumerate(zip(finds, actions, strict=False))]
    assert flowed(pieces, *rules)[:2] == filtered("".join(pieces), *rules)


@given(st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=3), st.text("aAbB c", max_size=20))
def test_words_are_what_the_standard_library_finds(words: list[str], text: str) -> None:
    """The longest of the words that begin at a place."""
    ordered = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    assert filtered(text, rule(Words(words)))[0] == re.sub(rf"(?i)(?<!\w)(?:{ordered})(?!\w)", "#", text)


def test_rules_over_each_other() -> None:
    """The one that begins first is replaced; of what the other has beyond it nothing is left."""
    rules = [rule(Expression("bcd", 3), name="late", put="L"), rule(Expression("abc", 3), name="early", put="E")]
    assert filtered("xabcdx", *rules) == ("xEx", ["early", "late"])


def test_stop_ends_the_text_before_the_match() -> None:
    """What comes behind it is not looked at any more."""
    rules = [rule(Words(["stop"]), "stop", "s"), rule(Words(["bad"]), name="b")]
    assert filtered("a bad stop bad", *rules) == ("a # ", ["b", "s"])
    assert flowed(["a bad st", "op", " bad bad", "more"], *rules)[:2] == ("a # ", ["b", "s"])


@pytest.mark.parametrize("expression", ["(a+)+$", "(a|aa)+b", "(.*)*x", "(?:a?){50}a{50}"])
def test_an_expression_is_no_bomb(expression: str) -> None:
    """Time is linear in the text."""
    begun = time.process_time()
    filtered("a" * 20_000, rule(Expression(expression.replace("(.*)*x", "(.*)*xy"), 100)))
    assert time.process_time() - begun < 8


@pytest.mark.parametrize("expression", ["(", "(?=a)", r"(a)\1", "a*", "x?"])
def test_what_cannot_be_taken_is_refused(expression: str) -> None:
    """No expression for RE2, or one that matches nothing at all."""
    with pytest.raises(ValueError, match=r"RE2|everywhere"):
        Expression(expression, 10)


@pytest.mark.parametrize("words", [[], [""], ["a", ""]])
def test_an_empty_word_is_refused(words: list[str]) -> None:
    """It would match everywhere."""
    with pytest.raises(ValueError, match="empty"):
        Words(words)
