"""`model_switch` sends requests to other models."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from luthien_stream.formats import LENSES
from luthien_stream.policy import CallFacts, Transcript, run
from luthien_stream.testing.laws import CORPUS, laws
from luthien_stream.testing.rig import request_body
from tests.unit.workers.configured import made

RULES: list[dict[str, Any]] = [
    {"model": "m", "key": "team-*", "to": "small"},
    {"model": "m", "session": "s?", "to": "watched"},
    {"model": "m", "over_tokens": 50, "to": "long"},
    {"model": "same", "to": "same"},
]


def sent(model: str = "m", text: str = "Hello", **facts: Any) -> Transcript:
    said: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": text}]}
    request = LENSES["openai_chat"].request(request_body(**said))
    return run(made("model_switch", rules=RULES), request=request, call=CallFacts("c", model=model, **facts))


@pytest.mark.parametrize(
    ("asked", "model"),
    [
        ({}, "m"),
        ({"key": "team-a"}, "small"),
        ({"key": "team-a", "session": "s1"}, "small"),
        ({"session": "s1"}, "watched"),
        ({"session": "s12"}, "m"),
        ({"text": "word " * 60}, "long"),
        ({"model": "other", "key": "team-a"}, "other"),
        ({"model": "same"}, "same"),
    ],
)
def test_the_first_rule_that_matches_counts(asked: dict[str, Any], model: str) -> None:
    """A switch is on record; what no rule matches leaves as it came."""
    transcript = sent(**asked)
    assert transcript.request is not None
    assert transcript.request.model == model
    switched = model not in ("m", "other", "same")
    assert transcript.request.changed == switched
    assert [verdict.kind for verdict in transcript.verdicts] == ["rewrite"] * switched


def test_a_rule_must_lead_somewhere() -> None:
    """When it is read."""
    with pytest.raises(msgspec.ValidationError, match="`to` must name a model"):
        made("model_switch", rules=[{"to": ""}])


def test_laws() -> None:
    """It holds to the laws of all policies."""
    laws(made("model_switch", rules=RULES), CORPUS[:1])
