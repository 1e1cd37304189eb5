"""A recorded call as a case: what a stage was given then, with the results that its policies got."""

from __future__ import annotations

import pytest

from luthien_stream.cli.try_recorded import NotWhole, case_of
from luthien_stream.cli.try_run import Trial
from luthien_stream.events.log import (
    AnyEvent,
    EffectRecorded,
    RequestReceived,
    ResponseCompleted,
    ResponseStarted,
    Slip,
)
from luthien_stream.policy import Context, Hold, ToolCall, Verdict, gate
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.record.lanes import Record, StoredChunk, StoredEvent
from luthien_stream.testing.rig import request_body
from luthien_stream.upstream.render import BODIES
from luthien_stream.upstream.script import Answer, Call

EDGE, STAGE, CALL = "edge:e1", "stage:main@1", "c1"
REQUEST = RequestReceived(
    call=CALL, n=0, edge="e1", slip=Slip(), format="openai_chat", path="/", body=request_body(False)
)
BODY = BODIES["openai_chat"](Answer("m", (Call("1", "Bash", ("{}",)),), "tool_calls"))
APPROVED = EffectRecorded(call=CALL, key="0/response/0", kind="ask", value={"decision": "approve", "by": "Ann"})


@gate()
async def asks(call: ToolCall, ctx: Context) -> Verdict:
    """Ask about everything."""
    return Hold("sure?")


def recorded(*events: tuple[str, AnyEvent], chunk_at: int = 2) -> Record:
    """A record of one call with one chunk."""
    stored = [StoredEvent(src, event.n, at, event) for at, (src, event) in enumerate(events)]
    return Record(CALL, stored, {EDGE: {chunk_at: StoredChunk(chunk_at, 0, "body", BODY)}})


def whole(*more: tuple[str, AnyEvent]) -> Record:
    """All that came in of the call."""
    started, ended = ResponseStarted(call=CALL, n=1, status=200), ResponseCompleted(call=CALL, n=3, lane="original")
    return recorded((EDGE, REQUEST), (EDGE, started), (EDGE, ended), *more)


def test_recorded_answers_of_people_count() -> None:
    """A policy that asks what was asked then gets what was answered then; another one is held."""
    pipeline = Pipeline.of(asks)
    case, effects = case_of(whole((STAGE, APPROVED)), REQUEST)
    outcome = Trial(pipeline, effects).run(case)
    assert (outcome.id, outcome.verdict) == (CALL, "hold")
    assert outcome.output["response"] == BODY.decode()
    case, effects = case_of(whole(), REQUEST)
    assert effects == {}
    assert Trial(pipeline, effects).run(case).output is None


def test_an_answer_with_a_hole_is_no_case() -> None:
    """Nothing is tried on half of a call."""
    ended = ResponseCompleted(call=CALL, n=4, lane="original")
    record = recorded((EDGE, REQUEST), (EDGE, ResponseStarted(call=CALL, n=1, status=200)), (EDGE, ended), chunk_at=3)
    with pytest.raises(NotWhole, match="1 events of the answer"):
        case_of(record, REQUEST)
