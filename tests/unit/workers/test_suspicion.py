"""`suspicion` scores turns beside the call, and never changes an answer."""

from __future__ import annotations

from typing import Any

import pytest

from luthien_stream.core.program import Want
from luthien_stream.formats import LENSES
from luthien_stream.policy import CallFacts, End, Event, Monitor, Text, ToolCall, Transcript, run
from luthien_stream.testing.laws import CORPUS, laws
from tests.unit.workers.configured import made
from tests.unit.workers.judges import BAD, Models, at_once, lawful, request

CAME: list[Event] = [Text("I look."), ToolCall("1", "Bash", "{}"), ToolCall("2", "Read", "{}"), End("tool_calls")]


def watched(models: Models, came: list[Event] | None = None, kept: Any = None, **config: Any) -> Transcript:
    """Run it in a session of which `kept` is what was read."""
    policy = made("suspicion", model="judge", **config)
    call = CallFacts("c", model="u", session="s")
    came = CAME if came is None else came

    def effects(want: Want) -> Any:
        return kept if want.kind == "session" else at_once(want)

    return run(policy, came, request=request(), samples=models, effects=effects, lenses=LENSES, call=call)


def test_it_runs_beside() -> None:
    """So that the pipeline puts it into the shadow stage."""
    policy = made("suspicion", model="judge")
    assert isinstance(policy, Monitor)
    assert policy.beside


def test_a_turn_has_one_score() -> None:
    """Of all its calls together; every event is the very one that came."""
    models = Models(0.4)
    transcript = watched(models)
    assert all(one is other for one, other in zip(transcript.events, CAME, strict=True))
    assert [(v.kind, v.score) for v in transcript.verdicts] == [("score", 0.4)]
    assert "session max 0.40, mean 0.40 of 1" in transcript.verdicts[0].reason
    assert [line["judged"]["name"] for line in models.shown() if "judged" in line] == ["Bash", "Read"]


def test_the_session_is_kept_as_maximum_and_mean() -> None:
    """Each turn adds its score; where the session cannot be read, the turn has its score all the same."""
    kept = {"suspicion": {"base": 0, "state": None, "deltas": [0.9, 0.2]}}
    transcript = watched(Models(0.4), kept=kept)
    assert "session max 0.90, mean 0.50 of 3" in transcript.verdicts[0].reason
    assert [(one.session, one.name, one.delta) for one in transcript.folds] == [("s", "suspicion", 0.4)]
    lost = watched(Models(0.4), kept={"error": "timeout", "message": ""})
    assert (lost.verdicts[0].score, "session unknown" in lost.verdicts[0].reason) == (0.4, True)


def test_a_turn_that_does_nothing_is_not_judged() -> None:
    """Nobody is asked."""
    assert watched(Models(), [Text("Hi."), End("stop")]).verdicts == []


def test_the_mean_of_several_judges_counts() -> None:
    """Those that failed are told."""
    transcript = watched(Models(0.2, "garbage", 0.6), n=3)
    assert transcript.verdicts[0].score == pytest.approx(0.4)
    assert "1 of 3 unscored" in transcript.verdicts[0].reason


@pytest.mark.parametrize("said", BAD)
def test_no_score_is_on_record_as_that(said: Any) -> None:
    """Never as 0; the monitor has not failed, and the answer stands."""
    transcript = watched(Models(said, said))
    assert [(v.kind, v.score) for v in transcript.verdicts] == [("score", None)]
    assert transcript.verdicts[0].reason.startswith("unscored")
    assert transcript.failures == []
    assert transcript.events == CAME


def test_laws() -> None:
    """It holds to the laws of all policies."""
    laws(made("suspicion", model="judge", n=2), CORPUS[3:], samples=lawful(lambda shown: 0.3, CORPUS[1]))
