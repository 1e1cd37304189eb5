"""Handlers of the older style over requests: a dict in chat form, in every format."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from luthien_stream.core.lens import Request
from luthien_stream.formats import LENSES
from luthien_stream.policy import Policy, Transcript, run
from luthien_stream.policy.handler import PolicyHandler, PolicyResult

TOOL = {"name": "Bash", "parameters": {"type": "object"}}
CHAT: dict[str, Any] = {
    "model": "m",
    "max_tokens": 1000,
    "temperature": 0.50,
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "Go on"},
    ],
    "tools": [{"type": "function", "function": TOOL}],
}
MESSAGES: dict[str, Any] = {
    "model": "m",
    "max_tokens": 1000,
    "temperature": 0.50,
    "system": [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}],
    "messages": [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [{"type": "text", "text": "Hi."}]},
        {"role": "user", "content": [{"type": "text", "text": "Go on"}]},
    ],
    "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
}
RESPONSES: dict[str, Any] = {
    "model": "m",
    "max_output_tokens": 1000,
    "temperature": 0.50,
    "instructions": "Be brief.",
    "input": [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]},
        {"role": "user", "content": [{"type": "input_text", "text": "Go on"}]},
    ],
    "tools": [{"type": "function", **TOOL}],
}
BODIES = {"openai_chat": CHAT, "anthropic_messages": MESSAGES, "openai_responses": RESPONSES}
forms = pytest.mark.parametrize("form", LENSES)


def request(form: str) -> Request:
    return LENSES[form].request(msgspec.json.encode(BODIES[form]))


def changed(form: str, hook: Any) -> Transcript:
    """Run a handler with `hook` over the request of a format."""

    class Hooked(PolicyHandler):
        def apply_request_policies(self, request: Any, metadata: Any) -> Any:
            return hook(request)

    return run(Hooked(), request=request(form))


def texts(transcript: Transcript) -> list[str]:
    assert transcript.request is not None, transcript.failures
    return [part.text for part in transcript.request.parts() if part.kind == "text"]


@forms
def test_a_hook_sees_the_same_in_every_format(form: str) -> None:
    """Model, limit, tools and conversation."""
    seen: list[Any] = []
    transcript = changed(form, lambda one: seen.append((one, one.messages[1].content)))
    fields, text = seen[0]
    assert (fields.model, fields.max_tokens, fields.temperature) == ("m", 1000, 0.5)
    said = [(m.role, m.content if isinstance(m.content, str) else m.content[0].text) for m in fields.messages]
    assert [role for role, _ in said] == ["system", "user", "assistant", "user"]
    assert [one for _, one in said][1:] == ["Hello", "Hi.", "Go on"]
    assert text == "Hello"
    assert fields.tools[0].function.name == "Bash"
    assert transcript.request is not None
    assert not transcript.request.changed


@forms
def test_fields_are_set(form: str) -> None:
    """Model and limit where the format has them; what is not touched keeps its bytes."""

    def hook(fields: Any) -> Any:
        fields["max_tokens"] = min(fields["max_tokens"], 100)
        fields.model = "other"
        fields["metadata"] = {"a": 1}
        return fields

    made = changed(form, hook).request
    assert made is not None
    assert (made.model, made.max_tokens, made.get("metadata")) == ("other", 100, {"a": 1})
    assert b'"temperature":0.5' in made.body


def append(fields: Any) -> Any:
    fields["messages"].append({"role": "user", "content": "More"})
    return fields


def instruct(fields: Any) -> Any:
    return {**fields, "messages": [{"role": "system", "content": "First."}, *fields["messages"]]}


def reword(fields: Any) -> Any:
    fields.messages[1]["content"] = "Good day"
    last = fields.messages[-1]
    if isinstance(last.content, str):
        last.content = "Stop"
    else:
        last.content[0].text = "Stop"
    return fields


def forget(fields: Any) -> Any:
    del fields.messages[1:3]
    return fields


def extend(fields: Any) -> Any:
    fields.messages[0].content += "\nBe kind."
    return fields


@forms
@pytest.mark.parametrize(
    ("hook", "present", "absent"),
    [
        (append, ["Hello", "Hi.", "Go on", "More"], []),
        (instruct, ["First.", "Hello", "Hi.", "Go on"], []),
        (reword, ["Good day", "Hi.", "Stop"], ["Hello", "Go on"]),
        (forget, ["Go on"], ["Hello", "Hi."]),
        (extend, ["Hello", "Hi."], []),
    ],
)
def test_messages_are_changed(form: str, hook: Any, present: list[str], absent: list[str]) -> None:
    """By the edits that the format has for it."""
    transcript = changed(form, hook)
    said = "|".join(texts(transcript))
    assert all(text in said for text in present), said
    assert not any(text in said for text in absent), said
    assert "brief." in said
    if hook is extend:
        assert "Be kind." in said


@forms
def test_of_two_equal_texts_the_right_one_is_changed(form: str) -> None:
    """They are told by their place."""
    talk = BODIES[form].get("messages") or BODIES[form]["input"]
    body = {**BODIES[form], ("input" if "input" in BODIES[form] else "messages"): [*talk, talk[-2], talk[-1]]}

    class Last(PolicyHandler):
        def apply_request_policies(self, request: Any) -> Any:
            request.messages[-1] = {**request.messages[-1], "content": _said(request.messages[-1].content, "Stop")}
            return request

    transcript = run(Last(), request=LENSES[form].request(msgspec.json.encode(body)))
    assert texts(transcript)[-5:] == ["Hello", "Hi.", "Go on", "Hi.", "Stop"]


def _said(content: Any, text: str) -> Any:
    return text if isinstance(content, str) else [{**content[0], "text": text}]


@forms
def test_tools_are_dropped(form: str) -> None:
    """And what names them."""
    made = changed(form, lambda fields: {**fields, "tools": []}).request
    assert made is not None
    assert not made.tools


def reorder(fields: Any) -> Any:
    fields.messages.reverse()
    return fields


def rewrite_tool(fields: Any) -> Any:
    fields.tools[0].function.name = "Other"
    return fields


@pytest.mark.parametrize("form", ["anthropic_messages", "openai_responses"])
@pytest.mark.parametrize("hook", [reorder, rewrite_tool, lambda _: "text", lambda fields: {**fields, "messages": 1}])
def test_what_a_format_cannot_take_fails_closed(form: str, hook: Any) -> None:
    """The failure says what it was, and no request goes out."""
    transcript = changed(form, hook)
    assert transcript.failed
    assert "apply_request_policies" in transcript.failures[0].message


def test_a_result_may_refuse_or_wrap() -> None:
    """`PolicyResult` of the older interface."""
    refused = changed("openai_chat", lambda _: PolicyResult(allowed=False, reason="why", shown="No.")).refused
    assert refused is not None
    assert (refused.reason, refused.shown) == ("why", "No.")
    wrapped = changed("openai_chat", lambda one: PolicyResult({**one, "model": "other"})).request
    assert wrapped is not None
    assert wrapped.model == "other"


def test_a_handler_takes_part_only_in_the_phases_that_it_has_hooks_for() -> None:
    """So that a request that no policy acts on leaves at once."""

    class Requests(PolicyHandler):
        def apply_request_policies(self, request: Any) -> Any:
            return request

    class More(Requests):
        def apply_response_policy(self, response: Any) -> Any:
            return response

    assert Requests.response is Policy.response
    assert Requests.request is not Policy.request
    assert More.response is not Policy.response
