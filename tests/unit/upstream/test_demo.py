"""The demo models: valid answers in all formats, streamed and not, without a socket."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from luthien_stream.cli.demo_session import events_of
from luthien_stream.config.model import Provider
from luthien_stream.core.sse import Splitter
from luthien_stream.events.answer import End, Event, Text, ToolCall
from luthien_stream.formats import LENSES
from luthien_stream.upstream.demo import COMMAND, MODELS, PATHS, STORY, DemoUpstream, answer_to

PROVIDER = Provider(base_url="", format=("openai_chat", "anthropic_messages", "openai_responses"))
BASH: dict[str, dict[str, Any]] = {
    "anthropic_messages": {"name": "bash"},
    "openai_chat": {"type": "function", "function": {"name": "bash"}},
    "openai_responses": {"type": "function", "name": "bash"},
}


def asked(model: str, *messages: dict[str, Any], **more: Any) -> bytes:
    turns = messages or ({"role": "user", "content": "Hello  there\nyou"},)
    return msgspec.json.encode({"model": model, "max_tokens": 99, "messages": turns, "input": turns, **more})


async def answered(path: str, body: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[int, bytes]:
    """Ask through the port, at full speed."""
    monkeypatch.setattr("luthien_stream.upstream.demo.WORDS_A_SECOND", 1e9)
    async with DemoUpstream().open(PROVIDER, path, "", (), body) as answer:
        return answer.status, b"".join([data async for data in answer.chunks()])


def told(form: str, raw: bytes, streamed: bool) -> list[Event]:
    """The events of an answer."""
    if streamed:
        return events_of(form, raw)
    decoder = LENSES[form].body_decoder()
    return [one for one in (*decoder.frame(raw), *decoder.close()) if not isinstance(one, bytes)]


def text(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("model", MODELS)
async def test_streams_keep_the_rules_of_their_format(path: str, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checker that guards clients finds nothing, and the answer has an end."""
    status, raw = await answered(path, asked(model, stream=True), monkeypatch)
    checker = LENSES[PATHS[path]].checker()
    assert status == 200
    assert [violation for frame in Splitter().feed(raw) for violation in checker.frame(frame)] == []
    assert isinstance(events_of(PATHS[path], raw)[-1], End)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("path", PATHS)
async def test_what_the_models_say(path: str, streamed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The echo repeats every blank, the story is whole, the agent asks for its deed."""
    said = {}
    for model in MODELS:
        _, raw = await answered(path, asked(model, stream=streamed), monkeypatch)
        said[model] = told(PATHS[path], raw, streamed)
    assert text(said["demo/echo"]) == "Hello  there\nyou"
    assert text(said["demo/story"]) == STORY
    (call,) = (event for event in said["demo/agent"] if isinstance(event, ToolCall))
    assert (call.name, call.args["command"]) == ("Bash", COMMAND)
    assert [event.reason for event in said["demo/agent"] if isinstance(event, End)] == ["tool_calls"]


@pytest.mark.parametrize("path", PATHS)
async def test_the_agent_uses_the_client_s_shell(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool call has the name that the client gave its shell."""
    _, raw = await answered(path, asked("demo/agent", stream=True, tools=[BASH[PATHS[path]]]), monkeypatch)
    assert [event.name for event in events_of(PATHS[path], raw) if isinstance(event, ToolCall)] == ["bash"]


async def test_the_agent_takes_what_it_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a tool result it is done, after words of the user it leaves the files alone; it never asks twice."""
    user = {"role": "user", "content": "Clean up"}
    use = {"type": "tool_use", "id": "t", "name": "Bash", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "gone"}
    done = (user, {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]})
    stopped = (user, {"role": "assistant", "content": "No."}, {"role": "user", "content": "Leave it"})
    for turns, word in ((done, "gone"), (stopped, "leave your files alone")):
        _, raw = await answered("/v1/messages", asked("demo/agent", *turns, stream=True), monkeypatch)
        events = events_of("anthropic_messages", raw)
        assert word in text(events)
        assert not any(isinstance(event, ToolCall) for event in events)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/messages", asked("demo/unknown"), 404),
        ("/v1/chat/completions", b"{", 400),
        ("/v1/messages", b'{"model": 5}', 400),
        ("/v1/messages/count_tokens", asked("demo/echo"), 404),
    ],
)
async def test_bad_requests_get_an_error_in_dialect(
    path: str, body: bytes, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a vendor would, with what to do."""
    got, raw = await answered(path, body, monkeypatch)
    assert got == status
    assert msgspec.json.decode(raw)["error"]["message"]


def test_the_same_request_gives_the_same_bytes() -> None:
    """Only `created` depends on the time."""
    first, again = (answer_to("/v1/chat/completions", asked("demo/echo", stream=True), created=7) for _ in range(2))
    assert first.headers == again.headers
