"""`token_limit` bounds what is asked for and what goes out."""

from __future__ import annotations

import msgspec
import pytest

from luthien_stream.formats import LENSES
from luthien_stream.policy import End, Event, Text, ToolCall, run
from luthien_stream.testing.laws import laws
from luthien_stream.testing.rig import request_body
from tests.unit.workers.configured import made


@pytest.mark.parametrize("form", list(LENSES))
@pytest.mark.parametrize(("asked", "released"), [(10, 10), (50, 50), (1000, 50)])
def test_the_request_is_bounded(form: str, asked: int, released: int) -> None:
    """A larger limit is lowered, a smaller one stays as it came."""
    request = LENSES[form].request(request_body(max_tokens=asked, max_output_tokens=asked))
    left = run(made("token_limit", max_tokens=50), request=request).request
    assert left is not None
    assert left.max_tokens == released
    assert left.changed == (asked != released)


def test_a_request_without_a_limit_gets_one() -> None:
    """Where the format lets a client say none."""
    request = LENSES["openai_chat"].request(msgspec.json.encode({"model": "m", "messages": [{"role": "user"}]}))
    left = run(made("token_limit", max_tokens=50), request=request).request
    assert left is not None
    assert left.max_tokens == 50


def test_text_over_the_limit_ends_politely() -> None:
    """The text is cut at the estimate, and the answer ends with `length`; a verdict says so."""
    transcript = run(made("token_limit", max_tokens=2), [Text("12345"), Text("6789"), Text("0"), End("stop")])
    assert (transcript.text, transcript.reason, transcript.failed) == ("12345678", "length", False)
    assert [verdict.kind for verdict in transcript.verdicts] == ["stop"]


def test_the_estimate_can_be_set() -> None:
    """Characters of a token differ between scripts."""
    transcript = run(made("token_limit", max_tokens=2, characters_per_token=1.5), [Text("12345")])
    assert (transcript.text, transcript.reason) == ("123", "length")


def test_an_answer_within_the_limit_passes() -> None:
    """To the last character; tool calls do not count."""
    came: list[Event] = [Text("12345678"), ToolCall("1", "t", '{"a":"long enough"}'), End("tool_calls")]
    assert run(made("token_limit", max_tokens=2), came).events == came


@pytest.mark.parametrize("wrong", [{"max_tokens": 0}, {"max_tokens": 1, "characters_per_token": 0}])
def test_impossible_limits_are_refused(wrong: dict[str, int]) -> None:
    """At least one token, of at least some length."""
    with pytest.raises(msgspec.ValidationError):
        made("token_limit", **wrong)


@pytest.mark.parametrize("limit", [1, 5, 1000])
def test_laws(limit: int) -> None:
    """It holds to the laws of all policies."""
    laws(made("token_limit", max_tokens=limit))
