"""`content_filter` masks, flags or stops at words and expressions in answers."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from luthien_stream.events.answer import Part
from luthien_stream.policy import End, Event, Opaque, PartEnd, Text, Thinking, ToolCall, run
from luthien_stream.testing.laws import CORPUS, laws
from luthien_stream.upstream.script import Answer, Call, Say, Think
from tests.unit.workers.configured import made

RULES: list[dict[str, Any]] = [
    {"name": "names", "words": ["Mallory", "Eve"], "replacement": "someone"},
    {"name": "numbers", "pattern": r"\b[0-9]{3}-[0-9]{4}\b", "max_len": 8},
    {"name": "topics", "words": ["weather"], "action": "flag"},
]
STOP = {"name": "end", "words": ["launch code"], "action": "stop"}


def test_rules() -> None:
    """Each has its verdict, with its count."""
    pieces = [Text(piece) for piece in ("Ma", "llory and EVE talk of weather, ", "555-12", "34, mallorys", " and Eve")]
    transcript = run(made("content_filter", rules=RULES), pieces)
    assert transcript.text == "someone and someone talk of weather, [removed], mallorys and someone"
    assert [(v.kind, v.reason, v.score) for v in transcript.verdicts] == [
        ("rewrite", "3 × names", None),
        ("rewrite", "1 × numbers", None),
        ("score", "1 × topics", 1.0),
    ]


def test_stop_ends_the_answer_before_the_match() -> None:
    """Politely, with what is configured to be shown."""
    policy = made("content_filter", rules=[STOP, *RULES], shown="That is not for here.")
    came: list[Event] = [
        Text("Eve has the laun"),
        Text("ch code: 0000"),
        Text("0"),
        ToolCall("1", "t", "{}"),
        End("tool_calls"),
    ]
    transcript = run(policy, came)
    assert transcript.text == "someone has the \n\nThat is not for here."
    assert [(v.kind, v.reason) for v in transcript.verdicts] == [("rewrite", "1 × names"), ("stop", "end")]
    assert (transcript.tool_calls, transcript.reason) == ([], "stop")


def test_other_carriers() -> None:
    """They pass, are dropped, or the rules hold for them too."""
    part = Part("f", "thinking", 0)
    signed: list[Event] = [Thinking("Eve", part, True), PartEnd(part)]
    call = ToolCall("1", "t", json.dumps({"to": "Eve"}))
    came: list[Event] = [*signed, Thinking("Eve?"), PartEnd(), Opaque("image"), call, End("stop")]
    assert run(made("content_filter", rules=RULES), came).events == came
    ends = [PartEnd(part), PartEnd(), End("stop")]
    assert run(made("content_filter", rules=RULES, others="drop"), came).events == ends
    left = run(made("content_filter", rules=RULES, others="map"), came)
    assert [type(event) for event in left.events] == [PartEnd, Thinking, PartEnd, ToolCall, End]
    assert left.tool_calls[0].args == {"to": "someone"}
    assert run(made("content_filter", rules=[{**STOP, "words": ["Eve"]}], others="map"), [call]).tool_calls == []
    assert run(made("content_filter", rules=RULES[2:], others="map"), came).events == came


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"name": "x"}, "either"),
        ({"name": "x", "words": ["a"], "pattern": "b"}, "either"),
        ({"name": "x", "pattern": "("}, "no regular expression"),
        ({"name": "x", "pattern": "(?<=a)b"}, "no regular expression"),
        ({"name": "x", "pattern": "a", "max_len": 100_000}, "max_len"),
        ({"name": "x", "words": ["a"], "action": "explode"}, "explode"),
    ],
)
def test_a_bad_rule_is_refused(rule: dict[str, Any], said: str) -> None:
    """The message names the rule."""
    with pytest.raises(msgspec.ValidationError, match=said) as refused:
        made("content_filter", rules=[rule])
    assert "rules[0]" in str(refused.value)


ANSWERS = (
    Answer("m", (Think(("Eve ", "is here"), "c2ln"), Say(("Mall", "ory, 555", "-1234", " weather", " and Eve")))),
    Answer("m", (Say(("I ask ", "Eve.")), Call("c1", "Mail", ('{"to":"Ev', 'e","n":"555-1234"}'))), "tool_calls"),
    Answer("m", (Say(("Eve has the lau", "nch co", "de of Mallory.")), Call("c1", "Mail", ("{}",))), "tool_calls"),
)


@pytest.mark.parametrize("others", ["pass", "drop", "map"])
def test_laws(others: str) -> None:
    """It holds to the laws of all policies, on text that has what it looks for."""
    laws(made("content_filter", rules=[STOP, *RULES], others=others), [*ANSWERS, CORPUS[0]])
