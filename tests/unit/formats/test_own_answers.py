"""What the gateway says itself in each dialect: refusals, errors, keep-alives; and token counts of a recorded lane."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest

from luthien_stream.core.lens import Lens
from tests.unit.formats.bodies import completion_of, message_of, response_of
from tests.unit.formats.drive import CHAT, MESSAGES, RESPONSES, STREAMS, checked, through, understood
from tests.unit.formats.scenarios_anthropic import SCENARIOS as MESSAGE_STREAMS
from tests.unit.formats.scenarios_chat import DONE, ROLE, text
from tests.unit.formats.scenarios_chat import SCENARIOS as CHAT_STREAMS
from tests.unit.formats.scenarios_responses import SCENARIOS as RESPONSE_STREAMS
from tests.unit.formats.scenarios_responses import USAGE
from tests.unit.formats.sdks import Judges

LENS = pytest.mark.parametrize("lens", [MESSAGES, CHAT, RESPONSES], ids=["anthropic", "chat", "responses"])


def asked(lens: Lens, **more: Any) -> Any:
    """A request."""
    said = {"input" if lens is RESPONSES else "messages": [{"role": "user", "content": "a"}]}
    return lens.request(json.dumps({"model": "m", **said, **more}).encode())


@LENS
def test_a_streamed_refusal_is_a_whole_turn(lens: Lens, judges: Judges) -> None:
    """The client reads it as any answer."""
    frames = lens.refusal(asked(lens, stream=True), "Not allowed.", "call-1")
    assert checked(lens, frames) == []
    assert understood(lens, through(lens, frames))[0] == ("Text", "Not allowed.")
    stream = b"".join(frames)
    if lens is MESSAGES:
        message = judges.anthropic_stream(stream)
        assert (message.content[0].text, message.stop_reason, message.model) == ("Not allowed.", "end_turn", "m")
    elif lens is RESPONSES:
        response = judges.responses_stream(stream)
        assert (response.output_text, response.status, response.usage.total_tokens) == ("Not allowed.", "completed", 0)
    else:
        choice = judges.chat_stream(stream).choices[0]
        assert (choice.message.content, choice.message.role) == ("Not allowed.", "assistant")
        assert choice.finish_reason == "stop"
        assert frames[-1] == DONE


@LENS
def test_an_unstreamed_refusal_is_one_body(lens: Lens, judges: Judges) -> None:
    """The client reads it as any answer."""
    (body,) = lens.refusal(asked(lens), "Not allowed.", "call-1")
    if lens is MESSAGES:
        message = judges.anthropic_body(body)
        assert (message.content[0].text, message.stop_reason) == ("Not allowed.", "end_turn")
    elif lens is RESPONSES:
        response = judges.responses_body(body)
        assert (response.output_text, response.status, response.model) == ("Not allowed.", "completed", "m")
    else:
        choice = judges.chat_body(body).choices[0]
        assert (choice.message.content, choice.finish_reason) == ("Not allowed.", "stop")


def test_a_refusal_counts_tokens_if_asked() -> None:
    """The chunk of token counts comes where the client waits for it."""
    request = asked(CHAT, stream=True, stream_options={"include_usage": True})
    frames = CHAT.refusal(request, "no", "c")
    assert json.loads(frames[-2][6:])["choices"] == []
    assert CHAT.usage_of(frames) == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    assert CHAT.usage_of(CHAT.refusal(asked(CHAT, stream=True), "no", "c")) is None


@LENS
def test_a_refusal_without_words_is_still_well_formed(lens: Lens) -> None:
    """No empty text block, a good end."""
    assert checked(lens, lens.refusal(asked(lens, stream=True), "", "c")) == []


@pytest.mark.parametrize(
    ("status", "theirs", "ours"),
    [
        (400, "invalid_request_error", "invalid_request_error"),
        (401, "authentication_error", "authentication_error"),
        (404, "not_found_error", "not_found_error"),
        (413, "request_too_large", "invalid_request_error"),
        (429, "rate_limit_error", "rate_limit_error"),
        (502, "api_error", "server_error"),
        (529, "overloaded_error", "server_error"),
    ],
)
def test_errors_have_the_dialects_kind(status: int, theirs: str, ours: str) -> None:
    """Clients decide by it whether to try again."""
    body = json.loads(MESSAGES.error_body(status, "why", call="c1"))
    assert body == {"type": "error", "error": {"type": theirs, "message": "why"}, "request_id": "c1"}
    for lens in (CHAT, RESPONSES):
        body = json.loads(lens.error_body(status, "why", code="x"))
        assert body == {"error": {"message": "why", "type": ours, "param": None, "code": "x"}}
        assert json.loads(lens.error_body(status, "why", kind="own"))["error"]["type"] == "own"


def test_an_error_in_a_stream_is_raised_by_clients(judges: Judges) -> None:
    """An answer that failed midway is never taken for a whole one."""
    with pytest.raises(anthropic.APIStatusError, match="why"):
        judges.anthropic_stream(b"".join(MESSAGE_STREAMS["text"][:4]) + MESSAGES.error_frame(503, "why"))
    with pytest.raises(openai.APIError, match="why"):
        judges.chat_stream(b"".join([ROLE, *text("a")]) + CHAT.error_frame(503, "why"))
    with pytest.raises(openai.APIError, match="why"):
        judges.responses_events(b"".join(RESPONSE_STREAMS["text"][:5]) + RESPONSES.error_frame(503, "why"))


@LENS
def test_our_error_frame_is_an_error_to_us(lens: Lens) -> None:
    """A gateway behind a gateway sees it too."""
    run = through(lens, [lens.error_frame(503, "why")])
    assert getattr(run.events[-1], "reason", None) == "error"
    assert "why" in getattr(run.events[-1], "error", "")


@pytest.mark.parametrize("name", ["anthropic: text", "chat: text", "responses: text"])
def test_keepalives_go_anywhere(name: str, judges: Judges) -> None:
    """Between any two frames, and clients do not notice."""
    lens, frames = STREAMS[name]
    with_them = [frame for raw in frames for frame in (lens.keepalive(), raw)]
    assert checked(lens, with_them) == []
    assert through(lens, with_them).frames == with_them
    judge = {"anthropic_messages": judges.anthropic_stream, "openai_chat": judges.chat_stream}
    assert judge.get(lens.name, judges.responses_stream)(b"".join(with_them)).model


def test_token_counts_of_a_recorded_lane() -> None:
    """From frames or a body; the later counts win, and a lane without any has none."""
    whole = {"input_tokens": 25, "cache_read_input_tokens": 7, "output_tokens": 15}
    assert MESSAGES.usage_of(MESSAGE_STREAMS["tool"]) == whole
    assert MESSAGES.usage_of([message_of(MESSAGE_STREAMS["tool"])]) == whole
    counts = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    assert CHAT.usage_of(CHAT_STREAMS["usage"]) == counts
    assert CHAT.usage_of([completion_of(CHAT_STREAMS["usage"])]) == counts
    assert RESPONSES.usage_of(RESPONSE_STREAMS["text"]) == USAGE
    assert RESPONSES.usage_of([response_of(RESPONSE_STREAMS["text"])]) == USAGE
    for lens in (MESSAGES, CHAT, RESPONSES):
        assert lens.usage_of([]) is None
        assert lens.usage_of([b": x\n\n", b'data: "usage"\n\n', b'{"usage": 3']) is None


def test_the_last_counts_are_at_the_end_too() -> None:
    """Policies read them at the end of the answer."""
    end: Any = through(CHAT, CHAT_STREAMS["usage"]).events[-1]
    assert end.usage["total_tokens"] == 14
    end = through(MESSAGES, MESSAGE_STREAMS["text"]).events[-1]
    assert (end.usage["output_tokens"], end.raw_reason) == (15, "end_turn")
