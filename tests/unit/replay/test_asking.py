"""Questions that are asked now, requests that change, answers that cannot be cut otherwise."""

from __future__ import annotations

from luthien_stream.events.log import SampleRequested
from luthien_stream.policy import Context, Policy, Request
from luthien_stream.policy.catalogue import find
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.record.lanes import Record
from luthien_stream.replay.again import MASKED, Candidate, Options, compare
from luthien_stream.replay.asking import AskedOnce
from luthien_stream.replay.chunking import CannotCut
from luthien_stream.replay.differing import OTHER_REQUEST
from luthien_stream.replay.pool import Result
from tests.unit.replay.calls import recorded

NOOP = Pipeline.of(find("noop")())


class Added(Policy):
    """Tells the model more."""

    async def request(self, request: Request, ctx: Context) -> Request:
        """Add to what the system says."""
        return request.add_system("Be brief.")


def question(text: str) -> SampleRequested:
    """A question to a judge."""
    return SampleRequested(
        call="c", key="k", policy="judge", why="judge", model="m", format="openai_chat", body=text.encode()
    )


def test_a_second_run_is_told_what_the_first_was() -> None:
    """The same question put twice in a run has two answers; in the next run the same two."""
    asked: list[bytes] = []

    def ask(requested: SampleRequested) -> Result:
        asked.append(requested.body)
        return Result(0, len(asked))

    once = AskedOnce(ask)
    runs = []
    for _ in range(2):
        once.begin()
        answers = [once(question(text)) for text in ("a", "b", "a")]
        runs.append([answer.value for answer in answers if answer is not None])
    assert runs == [[1, 2, 3], [1, 2, 3]]
    assert asked == [b"a", b"b", b"a"]


def test_a_changed_request_says_whose_answer_it_is() -> None:
    """The recorded answer is to another request."""
    made = compare(recorded(NOOP), Candidate(Pipeline.of(Added())))
    assert (made.status, made.notes) == ("differs", [OTHER_REQUEST])
    assert compare(recorded(NOOP), Candidate(NOOP)).notes == []


def test_an_answer_that_cannot_be_cut_otherwise_stays_as_it_is() -> None:
    """And it is said; it is no chance in the candidate."""

    def cut(record: Record) -> Record:
        raise CannotCut("The answer has image")

    made = compare(recorded(NOOP), Candidate(NOOP), Options(cut=cut))
    assert (made.status, made.notes) == ("same", ["The answer has image: it is cut as it was recorded"])


def test_masked_secrets_are_spoken_of() -> None:
    """A policy may find less than it would have."""
    record = recorded(NOOP)
    record.masked = True
    assert compare(record, Candidate(NOOP)).notes == [MASKED]
