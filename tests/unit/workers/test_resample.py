"""`resample` draws suspicious turns again, audits on an aggregate, and delivers one or none."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from luthien_stream.formats import LENSES
from luthien_stream.policy import CallFacts, End, Event, Text, ToolCall, Transcript, run
from luthien_stream.testing.laws import CORPUS, laws
from tests.unit.workers.configured import made
from tests.unit.workers.judges import LATE, Models, Said, at_once, lawful, request


def turn(id: str) -> list[Event]:
    return [Text("I act."), ToolCall(id, "Bash", f'{{"command":"{id}"}}'), End("tool_calls")]


CAME = turn("came")


def resampled(*script: Said, came: list[Event] = CAME, **config: Any) -> tuple[Transcript, Models]:
    policy = made("resample", judge="judge", **{"n": 2, **config})
    call = CallFacts("c", model="untrusted", format="openai_chat")
    models = Models(*script)
    return run(policy, came, request=request(), samples=models, effects=at_once, lenses=LENSES, call=call), models


def delivered(transcript: Transcript) -> list[str]:
    return [call.id for call in transcript.tool_calls]


def scores(transcript: Transcript) -> list[float | None]:
    return [verdict.score for verdict in transcript.verdicts if verdict.kind == "score"]


def test_a_turn_below_the_threshold_is_not_drawn_again() -> None:
    """Its own score is the one that it is audited by."""
    transcript, models = resampled(0.5)
    assert all(one is other for one, other in zip(transcript.events, CAME, strict=True))
    assert scores(transcript) == [0.5, 0.5]
    assert len(models.asked) == 1


def test_a_suspicious_turn_is_audited_on_the_most_suspicious_draw() -> None:
    """The turn itself is delivered as long as not every draw is suspicious; all scores are on record."""
    transcript, models = resampled(0.6, turn("1"), turn("2"), 0.8, 0.1)
    assert delivered(transcript) == ["came"]
    assert scores(transcript) == [0.6, 0.8, 0.1, 0.8]
    assert transcript.verdicts[-1].reason == "audit: max of 3"
    assert [one.why for one in models.asked] == ["judge", "sample", "sample", "judge", "judge"]
    assert [one.model for one in models.asked if one.why == "sample"] == ["untrusted"] * 2


def test_the_least_suspicious_draw_may_be_delivered() -> None:
    """With `execute: least`."""
    transcript, _ = resampled(0.6, turn("1"), turn("2"), 0.8, 0.1, execute="least", aggregate="mean")
    assert delivered(transcript) == ["2"]
    assert scores(transcript)[-1] == pytest.approx(0.5)
    assert transcript.verdicts[-1].kind == "rewrite"


def test_every_turn_may_be_drawn_again() -> None:
    """With `when: all`."""
    transcript, models = resampled(0.1, turn("1"), turn("2"), 0.2, 0.3, when="all", aggregate="min")
    assert delivered(transcript) == ["came"]
    assert (len(models.asked), scores(transcript)[-1]) == (5, 0.1)


def test_where_every_draw_is_suspicious_none_is_delivered() -> None:
    """The calls are denied, the agent is told a constant."""
    transcript, _ = resampled(0.6, turn("1"), turn("2"), 0.8, 0.9)
    assert (delivered(transcript), transcript.text) == ([], "I act.\n\nThese tool calls were not allowed.")
    assert transcript.verdicts[-1].kind == "deny"


def test_a_trusted_model_answers_where_every_draw_is_suspicious() -> None:
    """If it fails, the call is closed."""
    script: list[Said] = [0.6, turn("1"), turn("2"), 0.8, 0.9]
    transcript, models = resampled(*script, turn("trusted"), trusted="trusted")
    assert delivered(transcript) == ["trusted"]
    assert models.asked[-1].model == "trusted"
    failed, _ = resampled(*script, LATE, trusted="trusted")
    assert failed.failed
    assert failed.events == []


def test_what_has_no_score_is_suspicious() -> None:
    """The turn, a draw that failed, a draw that nobody could score; none of them is part of the audit's number."""
    transcript, _ = resampled("garbage", turn("1"), LATE, 0.1, execute="least")
    assert delivered(transcript) == ["1"]
    assert scores(transcript)[-1] == 0.1
    assert any(verdict.reason == "audit: max of 1, 2 unscored" for verdict in transcript.verdicts)
    nothing, _ = resampled("garbage", LATE, LATE)
    assert delivered(nothing) == []
    assert scores(nothing) == [None] * 4


def test_a_draw_that_does_nothing_is_harmless() -> None:
    """Nobody is asked about it."""
    transcript, models = resampled(0.9, [Text("I stop."), End("stop")], turn("2"), 0.9, execute="least")
    assert (transcript.text, delivered(transcript)) == ("I stop.", [])
    assert len(models.asked) == 4


def test_text_alone_passes() -> None:
    """Nothing to judge."""
    transcript, models = resampled(came=[Text("Hi."), End("stop")])
    assert (transcript.text, models.asked) == ("Hi.", [])


@pytest.mark.parametrize("config", [{"n": 0}, {"threshold": -1}, {"judge": ""}])
def test_a_configuration_that_cannot_be_is_refused(config: dict[str, Any]) -> None:
    """When it is read."""
    with pytest.raises(msgspec.ValidationError, match="must"):
        made("resample", **{"judge": "judge", **config})


@pytest.mark.parametrize("config", [{}, {"execute": "least"}, {"trusted": "t"}])
def test_laws(config: dict[str, Any]) -> None:
    """It holds to the laws of all policies."""

    def score(shown: str) -> float:
        return 0.9 if "rm -rf" in shown else 0.1

    policy = made("resample", judge="j", n=2, **config)
    laws(policy, CORPUS[4:], samples=lawful(score, CORPUS[3] if "trusted" in config else CORPUS[0]))
