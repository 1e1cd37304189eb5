"""Handlers of the older style over whole answers, and which hook an answer goes through."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthien_stream.formats import LENSES
from luthien_stream.policy import CallFacts, End, Event, PartEnd, Text, Thinking, ToolCall, run
from luthien_stream.policy.handler import PolicyHandler, PolicyResult, RequestMetadata, StreamControl
from luthien_stream.policy.handler.whole import edits
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.tail import rewrite
from luthien_stream.testing.laws import CORPUS, laws
from luthien_stream.testing.rig import call_log, drive, frames, program
from luthien_stream.upstream.render import BODIES, STREAMS

CAME: list[Event] = [
    Thinking("Hm.", signed=True),
    Text("I look, "),
    Text("then I "),
    Text("delete."),
    PartEnd(),
    ToolCall("1", "Bash", '{"command":"ls"}'),
    ToolCall("2", "Bash", '{"command":"rm"}'),
    End("tool_calls", usage={"total_tokens": 7}),
]


class Edits(PolicyHandler):
    """Replaces a word, and drops what deletes."""

    def apply_response_policy(self, response: Any, metadata: RequestMetadata) -> Any:
        message = response.choices[0].message
        if message.content:
            message.content = message.content.replace("pass", "PASS").replace("then", "now")
        kept = [call for call in message.tool_calls or () if "rm" not in call.function.arguments]
        if message.tool_calls:
            message["tool_calls"] = kept
        return response


class Leaves(PolicyHandler):
    """Looks only; takes one argument; async."""

    async def apply_response_policy(self, response: Any) -> Any:
        return response.model_dump()


class Both(Edits):
    """Says which hook ran."""

    def apply_streaming_chunk_policy(self, chunk: Any, control: StreamControl) -> Any:
        return {"choices": [{"delta": {"content": "stream"}, "finish_reason": "stop"}]}


def test_an_edit_touches_only_the_pieces_that_it_changes() -> None:
    """All other events are the very ones that came."""
    out = run(Edits(), CAME).events
    assert [event.text for event in out if isinstance(event, Text)] == ["I look, ", "now I ", "delete."]
    assert [out[0], out[1], *out[3:6], out[6]] == [CAME[0], CAME[1], *CAME[3:6], CAME[7]]
    assert out[1] is CAME[1]
    assert out[2].edited


def test_a_response_looks_as_that_of_the_api() -> None:
    """A chat completion with one choice."""
    seen: list[Any] = []

    class Looks(PolicyHandler):
        def apply_response_policy(self, response: Any, metadata: RequestMetadata) -> None:
            seen.append((response.model_dump(), metadata.call_id, metadata.to_dict()["model"]))

    assert run(Looks(), CAME, call=CallFacts("c", model="m"), clock=lambda n: 5_000_000).events == CAME
    function = {"name": "Bash", "arguments": '{"command":"ls"}'}
    ((response, call, model),) = seen
    assert (call, model) == ("c", "m")
    (choice,) = response.pop("choices")
    assert response == {
        "id": "chatcmpl-c",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "usage": {"total_tokens": 7},
    }
    assert (choice["index"], choice["finish_reason"]) == (0, "tool_calls")
    assert choice["message"].pop("tool_calls")[0] == {"id": "1", "type": "function", "function": function}
    assert choice["message"] == {
        "role": "assistant",
        "content": "I look, then I delete.",
        "reasoning_content": "Hm.",
    }


def test_what_a_hook_adds_comes_behind() -> None:
    """Text where there was none, and calls of its own."""

    class Adds(PolicyHandler):
        def apply_response_policy(self, response: Any) -> Any:
            call = {"id": "9", "function": {"name": "Read", "arguments": "{}"}}
            message = {"content": "Hello", "tool_calls": [call]}
            return {"choices": [{"message": message, "finish_reason": "tool_calls"}]}

    out = run(Adds(), [End("stop")]).events
    assert out == [Text("Hello"), ToolCall("9", "Read", "{}"), End("tool_calls", edited=True)]


def test_a_result_that_is_not_allowed_stops_the_answer() -> None:
    """Nothing of it leaves."""

    class Refuses(PolicyHandler):
        def apply_response_policy(self, response: Any) -> PolicyResult:
            return PolicyResult(allowed=False, reason="why", shown="No.")

    transcript = run(Refuses(), CAME)
    assert (transcript.text.strip(), transcript.tool_calls, transcript.reason) == ("No.", [], "stop")
    assert [(v.kind, v.reason) for v in transcript.verdicts] == [("stop", "why")]


@pytest.mark.parametrize("returned", ["text", {}, {"choices": []}, {"choices": [{"message": {"content": 1}}]}])
def test_what_is_no_response_fails_closed(returned: Any) -> None:
    """Nothing of the answer leaves."""

    class Bad(PolicyHandler):
        def apply_response_policy(self, response: Any) -> Any:
            return returned

    transcript = run(Bad(), CAME)
    assert transcript.failed
    assert transcript.events == []


@pytest.mark.parametrize(("streamed", "text"), [(True, "stream"), (False, "I look, now I delete.")])
def test_an_answer_goes_through_the_hook_for_it(streamed: bool, text: str) -> None:
    """Where a handler has both."""
    assert run(Both(), CAME, call=CallFacts("c", streamed=streamed)).text == text


@pytest.mark.parametrize("form", LENSES)
def test_what_a_hook_leaves_alone_leaves_as_the_providers_bytes(form: str) -> None:
    """Streamed and unstreamed."""
    for answer in CORPUS:
        for streamed, sent in ((True, STREAMS[form](answer, True)), (False, [BODIES[form](answer)])):
            log = call_log(form, sent, streamed=streamed)
            assert frames(drive(program(Pipeline.of(Leaves())), log)) == list(sent)


@given(st.text("ab\n", max_size=8), st.text("ab\n", max_size=8))
def test_the_edit_between_two_texts(before: str, after: str) -> None:
    """It makes the one of the other, and touches as little as it can."""
    made = edits(before, after)
    assert rewrite(before, 0, made) == (after if before else "")
    assert (made == []) == (before == after or not before)


@pytest.mark.parametrize("handler", [Edits(), Leaves()])
def test_laws(handler: PolicyHandler) -> None:
    """Streamed answers go through the hook for whole ones, where there is no other."""
    laws(handler)
