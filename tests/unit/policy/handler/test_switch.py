"""Handlers that switch the model in the middle of an answer."""

from __future__ import annotations

from typing import Any

import pytest

from luthien_stream.events.log import SampleRequested
from luthien_stream.formats import LENSES
from luthien_stream.policy import CallFacts, End, Event, Text, ToolCall, Transcript, run
from luthien_stream.policy.handler import OutgoingQueue, PolicyHandler, StreamAction, StreamControl
from luthien_stream.testing.laws import CORPUS, laws
from luthien_stream.testing.rig import reply, request_body

CAME: list[Event] = [Text("I look. "), Text("DELETE "), Text("all."), ToolCall("1", "Bash", "{}"), End("tool_calls")]
GOES_ON: list[Event] = [Text("and leave it "), Text("as it is."), End("stop")]


class Switches(PolicyHandler):
    """Where the model says a word; what the other model says is looked at too."""

    word: str = "DELETE"

    def apply_streaming_chunk_policy(self, chunk: Any, control: StreamControl) -> Any:
        seen = control.metadata.setdefault("models", [])
        seen.append(chunk.model)
        if self.word in (chunk.choices[0].delta.content or ""):
            control.switch_model("careful")
            return None
        return chunk


class Queued(PolicyHandler):
    """The same in the older words."""

    async def apply_streaming_chunk_policy(
        self, chunk: Any, outgoing_queue: OutgoingQueue, control: StreamControl
    ) -> StreamAction:
        if "DELETE" in (chunk.choices[0].delta.content or ""):
            control.metadata["model"] = "careful"
            return StreamAction.SWITCH_MODEL
        await outgoing_queue.put(chunk)
        return StreamAction.CONTINUE


def switched(handler: PolicyHandler, *answers: Any) -> tuple[Transcript, list[SampleRequested]]:
    asked: list[SampleRequested] = []
    script = iter(answers)

    def say(requested: SampleRequested) -> Any:
        asked.append(requested)
        return next(script)

    request = LENSES["openai_chat"].request(request_body())
    call = CallFacts("c", model="m", format="openai_chat")
    return run(handler, CAME, request=request, samples=say, lenses=LENSES, call=call), asked


@pytest.mark.parametrize("handler", [Switches(), Queued()])
def test_another_model_goes_on(handler: PolicyHandler) -> None:
    """Behind what was put out, which it is shown; nothing more of the first model leaves."""
    transcript, asked = switched(handler, GOES_ON)
    assert (transcript.text, transcript.tool_calls, transcript.reason) == (
        "I look. and leave it as it is.",
        [],
        "stop",
    )
    assert [(one.model, one.why) for one in asked] == [("careful", "sample")]
    assert b"I look." in asked[0].body


def test_a_switch_without_a_model_fails_closed() -> None:
    """The message says what to call."""

    class Nowhere(PolicyHandler):
        def apply_streaming_chunk_policy(
            self, chunk: Any, outgoing_queue: OutgoingQueue, control: StreamControl
        ) -> StreamAction:
            return StreamAction.SWITCH_MODEL

    transcript, _ = switched(Nowhere())
    assert transcript.failed
    assert "control.switch_model(model)" in transcript.failures[0].message


def test_a_handler_that_never_stops_switching_fails_closed() -> None:
    """What the other model says goes through the hook as well."""
    transcript, asked = switched(Switches(word=" "), *[GOES_ON] * 4)
    assert transcript.failed
    assert transcript.failures[0].error == "TooManySwitches"
    assert len(asked) == 3


def test_a_model_that_fails_closes_the_call() -> None:
    """The answer has no good end."""
    assert switched(Switches(), {"error": "timeout", "message": ""})[0].failed


def test_laws() -> None:
    """Switching at a tool call: where an answer is cut plays no part."""

    class AtCalls(PolicyHandler):
        def apply_streaming_chunk_policy(self, chunk: Any, control: StreamControl) -> Any:
            if chunk.choices[0].delta.tool_calls:
                control.switch_model("careful")
                return None
            return chunk

    laws(AtCalls(), CORPUS[4:], samples=lambda requested: reply(requested, CORPUS[0]))
