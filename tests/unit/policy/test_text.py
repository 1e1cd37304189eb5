"""Text policies: edits across frames, what leaves as it came, and other carriers of text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthien_stream.events.answer import Part
from luthien_stream.policy import Edit, End, Event, Opaque, PartEnd, Text, TextPolicy, Thinking, ToolCall, run
from luthien_stream.policy.tail import Tail, check, rewrite


class Hides(TextPolicy):
    """Hides runs of digits; a run is decided when something else follows."""

    def edits(self, text: str, closed: bool) -> tuple[int, Sequence[Edit]]:
        safe = len(text) if closed else len(text.rstrip("0123456789"))
        return safe, [(m.start(), m.end(), "#") for m in re.finditer(r"[0-9]+", text)]


class HidesAll(Hides):
    others = "map"


class HidesDrops(Hides):
    others = "drop"


def of(part: Part, *texts: str) -> list[Text]:
    return [Text(text, part, src=text.encode()) for text in texts]


ONE, TWO = Part("f", "text", 0), Part("f", "text", 1)


def test_an_edit_across_frames() -> None:
    """The first frame has the replacement, the others what is left of them."""
    left = run(Hides(), [*of(ONE, "a1", "2", "3b"), PartEnd(ONE)]).events
    assert [e.text for e in left if isinstance(e, Text)] == ["a#", "b"]


def test_frames_without_an_edit_are_the_same_objects() -> None:
    """They leave verbatim, whether they were held or not."""
    came = of(ONE, "plain ", "text 1", " and", " more")
    left = run(Hides(), [*came, PartEnd(ONE)]).events
    assert left[0] is came[0]
    assert left[2] is came[2]
    assert left[3] is came[3]


def test_a_tail_is_released_at_the_end_of_its_part() -> None:
    """What is held never goes over into the next part."""
    left = run(Hides(), [*of(ONE, "1"), PartEnd(ONE), *of(TWO, "2"), PartEnd(TWO), End("stop")]).events
    assert [type(e).__name__ for e in left] == ["Text", "PartEnd", "Text", "PartEnd", "End"]
    assert [e.text for e in left if isinstance(e, Text)] == ["#", "#"]


def test_a_tail_is_released_where_parts_have_no_end() -> None:
    """Text of another part, or the end of the answer, closes it too."""
    assert run(Hides(), [*of(ONE, "1"), *of(TWO, "2")]).text == "##"


def test_text_of_a_policy_goes_on_with_the_open_part() -> None:
    """Text without a part stands in the same block, so a match may go across."""
    assert run(Hides(), [*of(ONE, "1"), Text("2"), PartEnd(ONE)]).text == "#"


def test_other_carriers_pass_are_mapped_or_dropped() -> None:
    """`others` says what becomes of thinking, tool calls and blocks without a name."""
    came: list[Event] = [
        Thinking("signed 1", signed=True),
        Thinking("open 1"),
        ToolCall("i", "n", '{"a":["x1",2],"b3":null}'),
        Opaque("image"),
        End("stop"),
    ]
    assert run(Hides(), came).events == came
    assert run(HidesDrops(), came).events == [End("stop")]
    thinking, call, end = run(HidesAll(), came).events
    assert isinstance(thinking, Thinking)
    assert isinstance(call, ToolCall)
    assert (thinking.text, call.args, end) == ("open #", {"a": ["x#", 2], "b#": None}, End("stop"))


def test_arguments_that_are_not_changed_stay_as_they_are() -> None:
    """Not a blank of them; what is no JSON is text."""
    plain, custom = ToolCall("i", "n", '{ "a" : "x" }'), ToolCall("i", "n", "12 {", kind="custom")
    left = run(HidesAll(), [plain, custom, ToolCall("i", "n", "{1")]).tool_calls
    assert left[0] is plain
    assert [call.arguments for call in left[1:]] == ["# {", "{#"]


@pytest.mark.parametrize("cuts", [["a1 2", "3 b4"], ["a1 23 b4"], [*"a1 23 b4"]])
def test_edits_are_on_record(cuts: list[str]) -> None:
    """One verdict with their number, however the text was cut; none without an edit."""
    came: list[Event] = [*of(ONE, *cuts), PartEnd(ONE), ToolCall("i", "n", '{"a":"1"}')]
    assert [(v.kind, v.reason) for v in run(HidesAll(), came).verdicts] == [("rewrite", "4 edits")]
    assert run(HidesAll(), of(ONE, "plain")).verdicts == []


@pytest.mark.parametrize("edits", [[(0, 0, "")], [(2, 1, "")], [(0, 2, ""), (1, 3, "")], [(3, 5, "")]])
def test_impossible_edits_fail(edits: list[Edit]) -> None:
    """An edit that is empty, out of order or outside the text is the author's mistake."""

    class Wrong(TextPolicy):
        def edits(self, text: str, closed: bool) -> tuple[int, Sequence[Edit]]:
            return len(text), edits

    assert [f.error for f in run(Wrong(), [Text("text")]).failures] == ["BadEdit"]


def test_a_tail_is_bounded() -> None:
    """A policy that never decides fails instead of holding for ever."""

    class Never(TextPolicy):
        def edits(self, text: str, closed: bool) -> tuple[int, Sequence[Edit]]:
            return 0, ()

    assert [f.error for f in run(Never(), [Text("x" * (5 << 20))] * 2).failures] == ["HoldTooLarge"]


@given(st.lists(st.text("ab12", max_size=6), max_size=12), st.booleans())
def test_the_cuts_do_not_matter(pieces: list[str], parts: bool) -> None:
    """However a text is cut, what leaves is the edited whole, and nothing is held longer than it must."""
    tail = Tail(Hides().edits)
    left: list[str] = []
    whole = "".join(pieces)
    for piece in pieces:
        if piece:
            left += [out.text for out in tail.take(Text(piece, ONE if parts else None))]
    left += [out.text for out in tail.flush()]
    assert "".join(left) == re.sub("[0-9]+", "#", whole)


@given(st.text("abcd", max_size=30), st.lists(st.integers(0, 30), max_size=6), st.lists(st.integers(0, 30), max_size=6))
def test_edits_fall_on_the_right_pieces(text: str, marks: list[int], cuts: list[int]) -> None:
    """Cut anywhere, the rewritten pieces are together the rewritten whole."""
    spots = sorted({min(m, len(text)) for m in marks})
    edits = [(a, b, "#") for a, b in zip(spots[::2], spots[1::2], strict=False)]
    check(edits, len(text))
    borders = [0, *sorted({min(c, len(text)) for c in cuts}), len(text)]
    pieces = [rewrite(text[a:b], a, edits) for a, b in pairwise(borders)]
    assert "".join(pieces) == rewrite(text, 0, edits)
