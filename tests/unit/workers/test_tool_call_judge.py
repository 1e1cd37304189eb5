"""`tool_call_judge` has a model score each tool call, and lets none through that has no score."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from luthien_stream.formats import LENSES
from luthien_stream.policy import CallFacts, End, Event, Text, ToolCall, Transcript, run
from luthien_stream.testing.laws import CORPUS, laws
from luthien_stream.testing.rig import reply
from tests.unit.workers.configured import made
from tests.unit.workers.judges import BAD, Models, at_once, lawful, request, scored

CALL = ToolCall("1", "Bash", '{"command":"rm -rf /"}')
CAME: list[Event] = [Text("I am a good model."), CALL, ToolCall("2", "Read", "{}"), End("tool_calls")]


def judged(models: Models, **config: Any) -> Transcript:
    policy = made("tool_call_judge", model="judge", **config)
    return run(
        policy, CAME, request=request(), samples=models, effects=at_once, lenses=LENSES, call=CallFacts("c", model="u")
    )


def test_each_call_is_judged_on_its_own() -> None:
    """Above the threshold it is denied; scores and reasons are on record, the agent is told a constant."""
    transcript = judged(Models(0.9, 0.5))
    assert [call.id for call in transcript.tool_calls] == ["2"]
    assert transcript.text == "I am a good model.\n\nThis tool call was not allowed."
    assert [(v.kind, v.score, v.about) for v in transcript.verdicts] == [
        ("score", 0.9, "1"),
        ("score", 0.5, "2"),
        ("deny", None, "1"),
        ("allow", None, "2"),
    ]
    assert "because" in transcript.verdicts[2].reason
    assert "because" not in transcript.text


def test_the_judge_sees_users_and_calls_only() -> None:
    """Not the model's prose; the prompt is the policy's."""
    models = Models(0.1, 0.1)
    judged(models, rubric="Be strict.")
    assert models.shown() == [
        {"user": "Delete the old logs."},
        {"judged": {"name": "Bash", "arguments": CALL.arguments}},
    ]
    asked = msgspec.json.decode(models.asked[0].body)
    assert asked["model"] == "judge"
    assert asked["messages"][0]["content"].startswith("Be strict.")
    assert [(one.why, one.model) for one in models.asked] == [("judge", "judge")] * 2


@pytest.mark.parametrize("said", BAD)
def test_no_score_is_a_failure(said: Any) -> None:
    """Garbage, a field that is missing, out of range, silence, 429 (twice): closed, and no call leaves."""
    transcript = judged(Models(said, 0.1, *[said] * 2))
    assert transcript.failed
    assert transcript.tool_calls == []
    assert [failure.error for failure in transcript.failures] == ["JudgeFailed"]


def test_a_busy_judge_is_asked_again() -> None:
    """Once."""
    assert len(judged(Models("429", 0.1, 0.1)).tool_calls) == 2


def test_only_what_the_first_look_flags_is_judged() -> None:
    """The cheap model is asked about every call, the other about the flagged one."""
    models = Models({"flagged": True}, {"flagged": False}, 0.9)
    transcript = judged(models, screen="cheap")
    assert [one.model for one in models.asked] == ["cheap", "cheap", "judge"]
    assert [call.id for call in transcript.tool_calls] == ["2"]
    assert judged(Models({"flagged": "no"}, {"flagged": False}), screen="cheap").failed


def test_only_named_tools_are_judged() -> None:
    """By globs."""
    models = Models(0.9)
    assert [call.id for call in judged(models, tools=["B*"]).tool_calls] == ["2"]
    assert len(models.asked) == 1


@pytest.mark.parametrize("config", [{"threshold": 1.5}, {"model": ""}])
def test_a_configuration_that_cannot_be_is_refused(config: dict[str, Any]) -> None:
    """When it is read."""
    with pytest.raises(msgspec.ValidationError, match="must"):
        made("tool_call_judge", **{"model": "judge", **config})


def test_laws() -> None:
    """It holds to the laws of all policies, whatever the judge says."""
    policy = made("tool_call_judge", model="judge")
    laws(policy, CORPUS[3:4], samples=lawful(lambda shown: 0.9 if "rm -rf" in shown else 0.1, CORPUS[1]))
    laws(policy, CORPUS[4:], samples=lambda requested: reply(requested, scored(7)))
