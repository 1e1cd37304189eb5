"""Handlers of the older style over chunks, in both of their signatures."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import msgspec
import pytest

from luthien_stream.formats import LENSES
from luthien_stream.policy import End, Event, PartEnd, Text, Thinking, ToolCall, run
from luthien_stream.policy.handler import OutgoingQueue, PolicyHandler, StreamAction, StreamControl
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.testing.laws import CORPUS, laws
from luthien_stream.testing.rig import call_log, drive, frames, program
from luthien_stream.upstream.render import STREAMS

CAME: list[Event] = [
    Thinking("Hm.", signed=True),
    PartEnd(),
    Text("I look, "),
    Text("then I delete."),
    PartEnd(),
    ToolCall("1", "Bash", '{"command":"ls"}'),
    ToolCall("2", "Bash", '{"command":"rm"}'),
    End("tool_calls", usage={"total_tokens": 7}),
]


class Returns(PolicyHandler):
    """Capitals by attribute; sync; no `rm`."""

    word: str = "rm"
    capitals: bool = True

    def apply_streaming_chunk_policy(self, chunk: Any, control: StreamControl) -> Any:
        delta = chunk.choices[0].delta
        if delta.content and self.capitals:
            delta.content = delta.content.upper()
        if delta.tool_calls and self.word in delta.tool_calls[0].function.arguments:
            return None
        return chunk


class Queues(PolicyHandler):
    """The same with a queue, by item; async."""

    async def apply_streaming_chunk_policy(
        self, chunk: Any, outgoing_queue: OutgoingQueue, control: StreamControl
    ) -> StreamAction:
        delta = chunk["choices"][0]["delta"]
        if "content" in delta:
            delta["content"] = delta["content"].upper()
        if "rm" not in str(delta.get("tool_calls")):
            await outgoing_queue.put(chunk)
        return StreamAction.CONTINUE


class Keeps(PolicyHandler):
    """Keeps everything until the answer is over."""

    def apply_streaming_chunk_policy(self, chunk: Any, control: StreamControl) -> Any:
        held = control.metadata.setdefault("held", [])
        held.append(copy.deepcopy(chunk))
        return held if chunk.choices[0].finish_reason else None


class Copies(PolicyHandler):
    """Puts out plain copies."""

    def apply_streaming_chunk_policy(self, chunk: Any, outgoing_queue: OutgoingQueue, control: StreamControl) -> None:
        outgoing_queue.put_nowait(chunk.model_dump())


class Joins(PolicyHandler):
    """Puts text and end out in one chunk of its own."""

    def apply_streaming_chunk_policy(self, chunk: Any, control: StreamControl) -> Any:
        said = control.metadata.setdefault("said", [])
        choice = chunk.choices[0]
        said += [choice.delta.content] if choice.delta.content else []
        if choice.finish_reason:
            return {"choices": [{"delta": {"content": "".join(said)}, "finish_reason": choice.finish_reason}]}
        return chunk if choice.delta.content is None else []


@pytest.mark.parametrize("handler", [Returns(), Queues()])
def test_both_signatures_edit_and_drop(handler: PolicyHandler) -> None:
    """None drops; an edit keeps the event's links; what is left alone is the very event."""
    transcript = run(handler, CAME)
    assert transcript.text == "I LOOK, THEN I DELETE."
    assert [event for event in transcript.events if not isinstance(event, Text)] == [*CAME[:2], *CAME[4:6], CAME[-1]]
    assert all(event.edited for event in transcript.events if isinstance(event, Text))


@pytest.mark.parametrize("handler", [Keeps(), Copies()])
def test_copies_stand_for_what_they_are_copies_of(handler: PolicyHandler) -> None:
    """Deep copies, plain copies, and chunks that leave late."""
    came = [event for event in CAME if not isinstance(event, PartEnd)]
    out = run(handler, came).events
    assert len(out) == len(came)
    assert all(one is other for one, other in zip(out, came, strict=True))


@pytest.mark.parametrize("form", LENSES)
@pytest.mark.parametrize("handler", [Returns(word="xyz", capitals=False), Copies()])
def test_what_a_handler_leaves_alone_leaves_as_the_providers_bytes(handler: PolicyHandler, form: str) -> None:
    """Frame by frame the same objects."""
    for answer in CORPUS:
        sent = STREAMS[form](answer, True)
        released = frames(drive(program(Pipeline.of(handler)), call_log(form, sent)))
        assert released == list(sent)


def test_chunks_look_as_those_of_the_api() -> None:
    """Fields by item and by attribute; the first choice only; usage with the end."""
    seen: list[Any] = []

    class Looks(PolicyHandler):
        def apply_streaming_chunk_policy(self, chunk: Any, control: StreamControl) -> Any:
            seen.append(chunk)
            assert control.call.call_id == "test"
            return chunk

    run(Looks(), CAME)
    assert msgspec.json.decode(msgspec.json.encode([one["choices"][0] for one in seen])) == [
        {"index": 0, "delta": {"reasoning_content": "Hm."}, "finish_reason": None},
        {"index": 0, "delta": {"content": "I look, "}, "finish_reason": None},
        {"index": 0, "delta": {"content": "then I delete."}, "finish_reason": None},
        *(
            {"index": 0, "delta": {"tool_calls": [{"index": number, **call}]}, "finish_reason": None}
            for number, call in enumerate([_call("1", "ls"), _call("2", "rm")])
        ),
        {"index": 0, "delta": {}, "finish_reason": "tool_calls"},
    ]
    first, last = seen[0], seen[-1]
    assert (first.id, first.object, first.usage, last.usage.total_tokens) == (
        "chatcmpl-test",
        "chat.completion.chunk",
        None,
        7,
    )
    with pytest.raises(AttributeError, match="'contents' is not in this shape"):
        _ = first.choices[0].delta.contents


def _call(id: str, command: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "Bash", "arguments": f'{{"command":"{command}"}}'}}


@pytest.mark.parametrize("old_words", [True, False])
def test_abort_ends_the_answer_behind_what_was_put_out(old_words: bool) -> None:
    """By method, or by the flag and the reason in `metadata`."""

    class Aborts(PolicyHandler):
        def apply_streaming_chunk_policy(self, chunk: Any, control: StreamControl) -> Any:
            if not chunk.choices[0].delta.tool_calls:
                return chunk
            if old_words:
                control.should_abort = True
                control.metadata["abort_reason"] = "tools"
            else:
                control.abort("tools", shown="No tools.")
            return None

    transcript = run(Aborts(), CAME)
    shown = "This answer was stopped by a policy." if old_words else "No tools."
    assert transcript.text == f"I look, then I delete.\n\n{shown}"
    assert (transcript.tool_calls, transcript.reason) == ([], "stop")
    (verdict,) = transcript.verdicts
    assert (verdict.kind, verdict.reason, verdict.shown) == ("stop", "tools", shown)


def test_an_early_finish_ends_the_answer() -> None:
    """Nothing behind it is shown to the hook."""

    class Ends(PolicyHandler):
        def apply_streaming_chunk_policy(self, chunk: Any, control: StreamControl) -> Any:
            chunk.choices[0].finish_reason = "length"
            return chunk

    transcript = run(Ends(), [Text("a"), Text("b"), End("stop")])
    assert (transcript.text, transcript.reason) == ("a", "length")


def test_a_chunk_that_is_put_out_twice_is_two_texts() -> None:
    """The second is new: one frame is written once."""

    class Doubles(PolicyHandler):
        def apply_streaming_chunk_policy(self, chunk: Any, control: StreamControl) -> Any:
            return [chunk, chunk] if chunk.choices[0].delta.content else chunk

    came: list[Event] = [Text("a", src=b"x"), End("stop")]
    assert run(Doubles(), came).events == [came[0], Text("a"), came[1]]


@pytest.mark.parametrize(
    ("returned", "complaint"),
    [
        ("text", "returned a str; return None, a chunk, or a list"),
        (["text"], "put out a str, which is no chunk"),
        ({"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}}]}, "in pieces"),
        ({"choices": [{"delta": {}, "finish_reason": "because"}]}, "finish_reason 'because'"),
        ({"choices": [{"index": 1, "delta": {"content": "x"}}]}, "second choice"),
    ],
)
def test_a_handler_that_puts_out_nonsense_fails_closed(returned: Any, complaint: str) -> None:
    """The failure says what it was."""

    class Bad(PolicyHandler):
        def apply_streaming_chunk_policy(self, chunk: Any, control: StreamControl) -> Any:
            return returned

    transcript = run(Bad(), CAME)
    assert transcript.failed
    assert transcript.events == []
    assert complaint in transcript.failures[0].message


def test_a_handler_that_raises_or_awaits_fails_closed() -> None:
    """As every policy."""

    class Raises(PolicyHandler):
        def apply_streaming_chunk_policy(self, chunk: Any, control: StreamControl) -> Any:
            raise RuntimeError("broken")

    class Sleeps(PolicyHandler):
        async def apply_streaming_chunk_policy(self, chunk: Any, control: StreamControl) -> Any:
            await asyncio.sleep(0)
            return chunk

    assert [run(one, CAME).failures[0].error for one in (Raises(), Sleeps())] == ["RuntimeError", "ForeignAwait"]
    assert run(Raises(), CAME).failed


def test_a_hook_of_neither_signature_is_refused() -> None:
    """When the class is made, not when the first answer comes."""
    with pytest.raises(TypeError, match=r"Odd\.apply_streaming_chunk_policy takes 1 arguments; it must take 2 or 3"):

        class Odd(PolicyHandler):
            def apply_streaming_chunk_policy(self, chunk: Any) -> Any:
                return chunk


@pytest.mark.parametrize("handler", [Returns(), Queues(), Copies(), Joins(), Keeps()])
def test_laws(handler: PolicyHandler) -> None:
    """Handlers hold to the laws of all policies."""
    laws(handler)
