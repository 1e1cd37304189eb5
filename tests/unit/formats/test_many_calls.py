"""An answer with thousands of tool calls costs a multiple of one with a few, not the square of it."""

from __future__ import annotations

from typing import ClassVar

import pytest

from luthien_stream.events.answer import ToolCall
from luthien_stream.events.log import ResponseCompleted
from luthien_stream.formats import LENSES
from luthien_stream.policy import Allow, Context, Deny, ToolGate, Verdict
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.testing.rig import call_log, drive, program
from luthien_stream.upstream.render import BODIES, STREAMS
from luthien_stream.upstream.script import Answer, Call

CALLS = 4000


class NotTheFirst(ToolGate):
    """Denies the first call, so that the answer is written anew."""

    most: ClassVar[int] = CALLS

    async def check(self, call: ToolCall, ctx: Context) -> Verdict:
        return Deny() if call.id == "call_0" else Allow()


@pytest.mark.timeout(30)
@pytest.mark.parametrize("streamed", [True, False], ids=["stream", "body"])
@pytest.mark.parametrize("form", sorted(LENSES))
def test_thousands_of_calls_pass_in_time(form: str, streamed: bool) -> None:
    """A minute and more, where each call reads all the others again."""
    answer = Answer("m", tuple(Call(f"call_{i}", "Bash", ('{"n":1}',)) for i in range(CALLS)), "tool_calls")
    chunks = STREAMS[form](answer, True) if streamed else [BODIES[form](answer)]
    outputs = drive(program(Pipeline.of(NotTheFirst())), call_log(form, chunks, streamed=streamed))
    assert isinstance(outputs[-1], ResponseCompleted)
    assert outputs[-1].reason == "tool_calls"
