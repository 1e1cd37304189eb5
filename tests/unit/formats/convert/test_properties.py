"""Any conversation, and any bytes: what is carried comes back the same, and nothing but typed errors is raised."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from luthien_stream.core.sse import data_of, frame_of
from luthien_stream.formats import LENSES
from luthien_stream.formats.convert import Conversion
from luthien_stream.formats.errors import ProtocolError, RequestError
from tests.unit.formats.convert.pairs import (
    ANTHROPIC,
    CHAT,
    FORMATS,
    HELLO,
    PAIRS,
    RESPONSES,
    begun,
    sent,
    sse,
    streamed,
)
from tests.unit.formats.convert.rich import PNG, RICH
from tests.unit.formats.convert.scenarios_responses import ANSWERS
from tests.unit.formats.drive import checked
from tests.unit.formats.scenarios_anthropic import SCENARIOS as MESSAGES
from tests.unit.formats.scenarios_chat import SCENARIOS as CHATS
from tests.unit.formats.scenarios_chat import chunk
from tests.unit.formats.test_garbage import changed, odd_values

FRAMES: dict[str, list[list[bytes]]] = {
    ANTHROPIC: list(MESSAGES.values()),
    CHAT: list(CHATS.values()),
    RESPONSES: [frames for frames, _ in ANSWERS.values()],
}
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(str.strip)
arguments = st.dictionaries(texts, st.none() | st.booleans() | st.integers() | texts | st.lists(texts), max_size=3)
said = st.lists(st.one_of(texts.map(lambda text: {"type": "text", "text": text}), st.just(PNG[ANTHROPIC])), min_size=1)


@st.composite
def conversations(draw: st.DrawFn) -> dict[str, Any]:
    """Any conversation in Anthropic's words that all formats can say."""
    messages: list[Any] = [{"role": "user", "content": draw(said)}]
    for turn in range(draw(st.integers(0, 3))):
        ids = [f"call_{turn}_{number}" for number in range(draw(st.integers(0, 3)))]
        calls = [{"type": "tool_use", "id": id, "name": "f", "input": draw(arguments)} for id in ids]
        text = [{"type": "text", "text": draw(texts)}] if draw(st.booleans()) or not calls else []
        messages.append({"role": "assistant", "content": [*text, *calls]})
        results = [{"type": "tool_result", "tool_use_id": id, "content": [_text(draw(texts))]} for id in ids]
        more = draw(said) if draw(st.booleans()) or not results else []
        messages.append({"role": "user", "content": [*results, *more]})
    system = draw(st.none() | texts)
    return {**HELLO[ANTHROPIC], "messages": messages, **({"system": [_text(system)]} if system else {})}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


@given(conversations(), st.sampled_from([CHAT, RESPONSES]))
@settings(deadline=None, max_examples=150)
def test_any_conversation_comes_back_the_same(request: dict[str, Any], provider: str) -> None:
    """In order, with every call, result, text and image."""
    there = sent(ANTHROPIC, provider, request)
    back = sent(provider, ANTHROPIC, there)
    assert back["messages"] == request["messages"]
    assert back.get("system") == request.get("system")


@given(conversations())
@settings(deadline=None, max_examples=100)
def test_every_call_in_chat_is_followed_by_its_results(request: dict[str, Any]) -> None:
    """Chat providers refuse any other order, also by way of responses."""
    for found in (
        sent(ANTHROPIC, CHAT, request),
        sent(RESPONSES, CHAT, sent(ANTHROPIC, RESPONSES, request)),
    ):
        open_calls: list[str] = []
        for message in found["messages"]:
            if message["role"] == "tool":
                open_calls.remove(message["tool_call_id"])
                continue
            assert open_calls == []
            open_calls = [call["id"] for call in message.get("tool_calls", ())]


@given(st.sampled_from(PAIRS), st.lists(st.integers(0, 9), max_size=5), odd_values)
@example(("anthropic_messages", "openai_chat"), [4, 0, 3, 2, 0], [])
@example(("anthropic_messages", "openai_chat"), [4, 0, 3, 2], 5)
@settings(deadline=None, max_examples=300)
def test_any_odd_request_is_carried_or_refused_by_name(pair: tuple[str, str], path: list[int], odd: Any) -> None:
    """One value anywhere in a request is another one: the result is JSON, or a refusal that names a field."""
    client, provider = pair
    body = json.dumps(changed(RICH[client], path, odd)).encode()
    try:
        made = Conversion(client, provider).request(body, "m")
    except RequestError as refusal:
        named = str(refusal)
    else:
        named = json.loads(made)["model"]
    assert named


@st.composite
def broken(draw: st.DrawFn) -> tuple[str, str, list[bytes]]:
    """A stream with frames lost, doubled, moved, or with another value in one of them."""
    client, provider = draw(st.sampled_from(PAIRS))
    frames = list(draw(st.sampled_from(FRAMES[provider])))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(frames) - 1))
        match draw(st.sampled_from(["lose", "double", "move", "change", "bytes"])):
            case "lose" if len(frames) > 1:
                del frames[at]
            case "double":
                frames.insert(at, frames[at])
            case "move":
                frames.insert(draw(st.integers(0, len(frames) - 1)), frames.pop(at))
            case "bytes":
                frames[at] = b"data: " + draw(st.binary(max_size=20).map(lambda b: b.replace(b"\n", b""))) + b"\n\n"
            case _:
                frames[at] = _odd(frames[at], draw(st.lists(st.integers(0, 9), max_size=5)), draw(odd_values))
    return client, provider, frames


def _odd(raw: bytes, path: list[int], odd: Any) -> bytes:
    try:
        found = json.loads(data_of(raw) or b"")
    except ValueError:
        return raw
    return frame_of(json.dumps(changed(found, path, odd)).encode())


@given(broken())
@settings(deadline=None, max_examples=400)
def test_any_broken_stream_is_a_typed_error_or_well_formed(case: tuple[str, str, list[bytes]]) -> None:
    """The client's checker finds nothing wrong with what was written, whatever the provider sent."""
    client, provider, frames = case
    transcoder = begun(client, provider).stream()
    made: list[bytes] = []
    with suppress(ProtocolError):
        for raw in frames:
            made += transcoder.frame(raw)
        made += transcoder.close()
    if client in LENSES:
        assert checked(LENSES[client], made) == []


@given(st.sampled_from(PAIRS), st.lists(st.binary(max_size=60), max_size=6))
@settings(deadline=None, max_examples=200)
def test_any_bytes_are_a_typed_error_or_nothing(pair: tuple[str, str], frames: list[bytes]) -> None:
    """In a stream as in a body."""
    client, provider = pair
    transcoder = begun(client, provider).stream()
    for raw in frames:
        try:
            transcoder.frame(raw)
        except ProtocolError:
            break
    with suppress(ProtocolError):
        begun(client, provider).body(b"".join(frames))


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_what_is_kept_has_a_bound(client: str, provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer without end is a typed error where its pieces must be kept, and passes where they need not be."""
    for module in ("pieces", "calls"):
        monkeypatch.setattr(f"luthien_stream.formats.convert.answer.{module}.KEPT_LIMIT", 2000)
    delta = {
        ANTHROPIC: sse("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "aaaa"}),
        CHAT: chunk({"reasoning_content": "aaaa"}),
        RESPONSES: sse("response.reasoning_text.delta", delta="aaaa"),
    }[provider]
    start = sse("content_block_start", index=0, content_block={"type": "thinking"})
    heads = {ANTHROPIC: [MESSAGES["text"][0], start], RESPONSES: ANSWERS["text"][0][:1]}
    head = heads.get(provider, [])
    frames = [*head, *[delta] * 100]
    if client == ANTHROPIC:
        assert len(streamed(begun(client, provider), frames)) > 100
    else:
        with pytest.raises(ProtocolError, match="MiB"):
            streamed(begun(client, provider), frames)


def test_every_format_is_converted() -> None:
    """A format that is added must be added here."""
    assert set(LENSES) <= set(FORMATS)
