"""`human_approval` has a person decide, and remembers what they approved."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from luthien_stream.config.model import PolicyUse
from luthien_stream.core.program import Want
from luthien_stream.formats import LENSES
from luthien_stream.policy import CallFacts, End, Event, Text, ToolCall, Transcript, run
from luthien_stream.policy.catalogue import load_pipeline
from luthien_stream.testing.laws import CORPUS, laws
from tests.unit.workers.configured import made
from tests.unit.workers.judges import BAD, Models, request

NOW = 1_000_000
CALL = ToolCall("1", "Bash", '{"command":"make deploy"}')
CAME: list[Event] = [Text("I deploy."), CALL, End("tool_calls")]


class Person:
    """Answers what they are asked, and keeps the session's fold."""

    def __init__(self, decision: str = "approve", args: Any = None) -> None:
        self.decision, self.args = decision, args
        self.asked: list[Want] = []
        self.deltas: list[Any] = []

    def __call__(self, want: Want) -> Any:
        if want.kind == "session":
            return {"human_approval": {"base": 0, "state": None, "deltas": self.deltas}}
        if want.kind == "timer":
            return None
        self.asked.append(want)
        return {"decision": self.decision, "by": "ada", "args": self.args}


def decided(person: Person, now: int = NOW, models: Models | None = None, **config: Any) -> Transcript:
    call = CallFacts("c", model="m", session="s")
    policy = made("human_approval", **config)
    return run(
        policy,
        CAME,
        request=request(),
        effects=person,
        samples=models,
        lenses=LENSES,
        call=call,
        clock=lambda number: now,
    )


@pytest.mark.parametrize(
    ("person", "command", "kinds"),
    [
        (Person("approve"), "make deploy", ["hold", "allow"]),
        (Person("modify", {"command": "make test"}), "make test", ["hold", "rewrite"]),
        (Person("reject"), "", ["hold", "deny"]),
        (Person("expired"), "", ["hold", "deny"]),
    ],
)
def test_a_person_decides(person: Person, command: str, kinds: list[str]) -> None:
    """With the call's arguments as they are, or as the person changed them; the decision names them."""
    transcript = decided(person)
    assert [call.args["command"] for call in transcript.tool_calls] == [command] * bool(command)
    assert [verdict.kind for verdict in transcript.verdicts] == kinds
    assert ("ada" in transcript.verdicts[1].reason) == (person.decision != "expired")
    assert len(person.asked) == 1


@pytest.mark.parametrize(
    ("on_timeout", "kinds", "calls"),
    [("deny", ["hold", "deny"], 0), ("stop", ["hold", "stop"], 0), ("allow", ["hold", "allow"], 1)],
)
def test_nobodys_answer_comes_to_what_is_configured(on_timeout: str, kinds: list[str], calls: int) -> None:
    """The agent is told to ask again."""
    transcript = decided(Person("expired"), on_timeout=on_timeout)
    assert [verdict.kind for verdict in transcript.verdicts] == kinds
    assert len(transcript.tool_calls) == calls
    assert ("Ask for it again later" in transcript.text) == (calls == 0)


def test_an_approval_is_remembered_until_it_expires() -> None:
    """For the same tool and arguments, however they are written; of a rejection nothing is kept."""
    person = Person()
    transcript = decided(person, remember_s=60)
    (folded,) = transcript.folds
    assert (folded.session, folded.name) == ("s", "human_approval")
    person.deltas = [folded.delta]
    for now, asked in ((NOW + 59_000_000, 1), (NOW + 61_000_000, 2)):
        assert decided(person, now, remember_s=60).tool_calls
        assert len(person.asked) == asked
    assert list(decided(Person("reject")).folds) == []
    assert list(decided(Person(), remember_s=0).folds) == []


def test_an_approval_holds_for_the_version_of_the_policy_that_asked() -> None:
    """Configured otherwise, it asks again."""
    person = Person()

    def under(**config: Any) -> Transcript:
        pipeline = load_pipeline([PolicyUse("human_approval", with_=config)], None)
        assert pipeline is not None
        call = CallFacts("c", model="m", session="s")
        return run(pipeline, CAME, request=request(), effects=person, call=call, clock=lambda number: NOW)

    person.deltas = [folded.delta for folded in under().folds]
    assert under().tool_calls
    assert len(person.asked) == 1
    assert under(remember_s=60.0).tool_calls
    assert len(person.asked) == 2


def test_only_named_tools_are_held() -> None:
    """By globs."""
    person = Person("reject")
    assert decided(person, tools=["Write", "R*"]).tool_calls == [CALL]
    assert person.asked == []


def test_a_judge_says_what_needs_a_person() -> None:
    """Below the threshold nobody is asked; above it the person sees the score."""
    person = Person("reject")
    assert decided(person, models=Models(0.5), model="judge").tool_calls == [CALL]
    assert person.asked == []
    transcript = decided(person, models=Models(0.9), model="judge")
    assert transcript.tool_calls == []
    assert transcript.held[0].subject["reason"] == "0.90 because"


@pytest.mark.parametrize("said", BAD)
def test_a_judge_that_fails_lets_nothing_through(said: Any) -> None:
    """The call is closed."""
    transcript = decided(Person(), models=Models(said, said), model="judge")
    assert transcript.failed
    assert transcript.tool_calls == []


@pytest.mark.parametrize("timeout_s", [0, 601])
def test_a_hold_has_a_bound(timeout_s: float) -> None:
    """Clients give up on a longer one."""
    with pytest.raises(msgspec.ValidationError, match="at most 600"):
        made("human_approval", timeout_s=timeout_s)


@pytest.mark.parametrize("decision", ["approve", "reject", "expired"])
def test_laws(decision: str) -> None:
    """It holds to the laws of all policies, whatever a person says."""
    laws(made("human_approval"), CORPUS[3:], effects=Person(decision))
