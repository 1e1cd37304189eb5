"""Failures in the other vendor's words, in bodies and streams; cut answers; headers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from luthien_stream.formats.convert import Conversion
from luthien_stream.formats.errors import ProtocolError
from tests.unit.formats.convert.pairs import ANTHROPIC, CHAT, PAIRS, RESPONSES, begun, data_of_frames, sse, streamed
from tests.unit.formats.convert.scenarios_responses import ANSWERS, text, whole
from tests.unit.formats.scenarios_anthropic import begin
from tests.unit.formats.scenarios_anthropic import text as message_text
from tests.unit.formats.scenarios_chat import DONE, call, chunk

Error = dict[str, Any]
TO_OPENAI: list[tuple[int, str, str, str | None]] = [
    (400, "invalid_request_error", "invalid_request_error", None),
    (401, "authentication_error", "authentication_error", "invalid_api_key"),
    (402, "billing_error", "insufficient_quota", "insufficient_quota"),
    (403, "permission_error", "permission_error", None),
    (404, "not_found_error", "not_found_error", "not_found"),
    (413, "request_too_large", "invalid_request_error", "request_too_large"),
    (429, "rate_limit_error", "rate_limit_error", "rate_limit_exceeded"),
    (500, "api_error", "server_error", None),
    (529, "overloaded_error", "server_error", "server_is_overloaded"),
]
TO_ANTHROPIC: list[tuple[int, str, str | None, str]] = [
    (400, "invalid_request_error", None, "invalid_request_error"),
    (401, "invalid_request_error", "invalid_api_key", "authentication_error"),
    (404, "invalid_request_error", "model_not_found", "not_found_error"),
    (429, "requests", "rate_limit_exceeded", "rate_limit_error"),
    (429, "insufficient_quota", "insufficient_quota", "billing_error"),
    (429, "tokens", None, "rate_limit_error"),
    (500, "server_error", None, "api_error"),
    (503, "server_error", None, "api_error"),
    (418, "odd", "odd", "invalid_request_error"),
]


@pytest.mark.parametrize(("status", "kind", "expected", "code"), TO_OPENAI)
@pytest.mark.parametrize("client", [CHAT, RESPONSES])
def test_anthropics_errors_for_openais_clients(client: str, status: int, kind: str, expected: str, code: Any) -> None:
    """The message stays, as clients read it."""
    body = json.dumps({"type": "error", "error": {"type": kind, "message": "try again in 5s"}}).encode()
    found = json.loads(Conversion(client, ANTHROPIC).error(status, body))["error"]
    assert found == {"message": "try again in 5s", "type": expected, "param": None, "code": code}


@pytest.mark.parametrize(("status", "kind", "code", "expected"), TO_ANTHROPIC)
@pytest.mark.parametrize("provider", [CHAT, RESPONSES])
def test_openais_errors_for_anthropics_clients(
    provider: str, status: int, kind: str, code: str | None, expected: str
) -> None:
    """With the id of the call, as Anthropic's have one."""
    body = json.dumps({"error": {"message": "no", "type": kind, "param": None, "code": code}}).encode()
    found = json.loads(Conversion(ANTHROPIC, provider).error(status, body, "req_1"))
    assert found == {"type": "error", "error": {"type": expected, "message": "no"}, "request_id": "req_1"}


def test_a_conversation_that_is_too_long_is_known_as_one() -> None:
    """Claude Code looks for Anthropic's words, Codex for OpenAI's code: both then shorten it."""
    body = json.dumps({"error": {"message": "400k tokens", "code": "context_length_exceeded"}}).encode()
    found = json.loads(Conversion(ANTHROPIC, CHAT).error(400, body))["error"]
    assert found == {"type": "invalid_request_error", "message": "prompt is too long: 400k tokens"}
    body = json.dumps(
        {"type": "error", "error": {"type": "invalid_request_error", **{"message": "prompt is too long: 9"}}}
    ).encode()
    assert json.loads(Conversion(RESPONSES, ANTHROPIC).error(400, body))["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"", b'"x"', b"\xff"])
@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_what_is_no_error_object_is_told_all_the_same(client: str, provider: str, body: bytes) -> None:
    """Proxies in between answer in HTML. Between OpenAI's two formats nothing is changed at all."""
    found = Conversion(client, provider).error(502, body)
    if ANTHROPIC not in (client, provider):
        assert found is body
    else:
        assert json.loads(found)["error"]["message"] != ""


def test_a_failure_in_a_stream_ends_it_in_the_clients_words() -> None:
    """And nothing else ends it."""
    overloaded = sse("error", error={"type": "overloaded_error", "message": "Overloaded"})
    frames = [begin(), *message_text(0, "a")[:2], overloaded]
    failed = data_of_frames(streamed(begun(RESPONSES, ANTHROPIC), frames))[-1]
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    assert failed["response"]["error"] == {"code": "server_is_overloaded", "message": "Overloaded"}
    error = data_of_frames(streamed(begun(CHAT, ANTHROPIC), frames))[-1]["error"]
    assert (error["type"], error["code"]) == ("server_error", "server_is_overloaded")
    for frame in (
        sse("response.failed", response={"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "m"}}),
        sse("error", code="rate_limit_exceeded", message="m"),
    ):
        last = streamed(begun(ANTHROPIC, RESPONSES), [*ANSWERS["text"][0][:4], frame])[-1]
        assert last.startswith(b"event: error\n")
        assert data_of_frames([last])[0]["error"] == {"type": "rate_limit_error", "message": "m"}


def test_a_failure_in_a_body_is_none_of_an_answer() -> None:
    """OpenAI may answer 200 with a response that has failed."""
    body = json.dumps({"id": "r", "status": "failed", "error": {"code": "server_error", "message": "m"}}).encode()
    with pytest.raises(ProtocolError, match="m"):
        begun(CHAT, RESPONSES).body(body)


CUT = {
    ANTHROPIC: [begin(), *message_text(0, "a")],
    CHAT: [chunk({"content": "a"})],
    RESPONSES: ANSWERS["text"][0][:-1],
}


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_a_cut_answer_stays_without_an_end(client: str, provider: str) -> None:
    """Both vendors' clients take a clean end for a whole answer: so there is none, and the caller is told."""
    transcoder = begun(client, provider).stream()
    frames = [made for raw in CUT[provider] for made in transcoder.frame(raw)]
    assert transcoder.close() == []
    assert not transcoder.ended
    marks = (b"message_stop", b"[DONE]", b'"finish_reason":"', b"response.completed")
    assert not any(mark in frame for mark in marks for frame in frames)


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_a_last_event_without_its_blank_line_counts(client: str, provider: str) -> None:
    """Half a one does not."""
    frames = {
        ANTHROPIC: [begin(), sse("message_delta", delta={}), sse("message_stop")],
        CHAT: [chunk({}, "stop"), DONE],
    }
    whole_answer = frames.get(provider) or whole(text(0, "a"))[0]
    for length, ended in ((-1, True), (-2, True), (-12, provider == CHAT)):
        transcoder = begun(client, provider).stream()
        for raw in whole_answer[:-1]:
            transcoder.frame(raw)
        transcoder.close(whole_answer[-1][:length])
        assert transcoder.ended is ended


BROKEN: list[tuple[str, list[bytes]]] = [
    (ANTHROPIC, [b"data: {\n\n"]),
    (ANTHROPIC, [sse("content_block_delta", index=0, delta={"type": "text_delta", "text": "a"})]),
    (ANTHROPIC, [begin(), begin()]),
    (ANTHROPIC, [begin(), sse("content_block_stop", index=0)]),
    (ANTHROPIC, [begin(), sse("message_stop"), sse("message_stop")]),
    (ANTHROPIC, [begin(), sse("content_block_start", index=0, content_block={"type": "tool_use", "id": "a"})]),
    (ANTHROPIC, [*CUT[ANTHROPIC][:-1], sse("error", error={}), CUT[ANTHROPIC][-2]]),
    (CHAT, [b"data: 5\n\n"]),
    (CHAT, [chunk(call(0, id="a", function={"arguments": "x"}))]),
    (CHAT, [chunk({}, "stop"), DONE, chunk({"content": "a"})]),
    (CHAT, [chunk({"function_call": {"name": "f", "arguments": ""}})]),
    (RESPONSES, [b"data: []\n\n"]),
    (RESPONSES, [sse("response.function_call_arguments.delta", output_index=3, delta="a")]),
    (RESPONSES, [sse("response.created", response={}), sse("response.created", response={})]),
    (RESPONSES, [*ANSWERS["text"][0], ANSWERS["text"][0][-1]]),
    (RESPONSES, [*ANSWERS["text"][0], ANSWERS["text"][0][4]]),
    (RESPONSES, ANSWERS["text"][0][1:]),
    (RESPONSES, [ANSWERS["text"][0][0], sse("response.output_item.added", item={"type": "function_call"})]),
]


@pytest.mark.parametrize(("provider", "frames"), BROKEN)
def test_a_broken_grammar_is_a_typed_error(provider: str, frames: list[bytes]) -> None:
    """Nothing is guessed."""
    client = CHAT if provider == ANTHROPIC else ANTHROPIC
    with pytest.raises(ProtocolError):
        streamed(begun(client, provider), frames)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"{}x", b'{"choices": []}', b'{"content": 5, "output": 5}'])
@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_a_body_of_another_kind_is_a_typed_error(client: str, provider: str, body: bytes) -> None:
    """Also one of another API."""
    if provider != CHAT and b"choices" in body:
        return
    with pytest.raises(ProtocolError):
        begun(client, provider).body(body)


HEADERS = (
    ("content-type", "application/json"),
    ("Anthropic-Version", "2026-10-21"),
    ("anthropic-beta", "a,b"),
    ("OpenAI-Organization", "o"),
    ("x-stainless-lang", "js"),
    ("x-claude-code-session-id", "s"),
    ("chatgpt-account-id", "c"),
    ("originator", "codex_exec"),
    ("user-agent", "codex"),
    ("x-mine", "1"),
)
COMMON = (("content-type", "application/json"), ("user-agent", "codex"), ("x-mine", "1"))


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_headers_of_one_vendor_stay_behind(client: str, provider: str) -> None:
    """Anthropic wants its version, whoever asks."""
    version = (("anthropic-version", "2023-06-01"),) if provider == ANTHROPIC else ()
    assert Conversion(client, provider).headers(HEADERS) == (*COMMON, *version)


def test_paths_are_the_providers() -> None:
    """The client's query does not go with it."""
    paths = {provider: Conversion(client, provider).path for client, provider in PAIRS}
    assert paths == {ANTHROPIC: "/v1/messages", CHAT: "/v1/chat/completions", RESPONSES: "/v1/responses"}
