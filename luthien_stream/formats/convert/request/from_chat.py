"""A body for OpenAI's `/v1/chat/completions`, read."""

from __future__ import annotations

from typing import Any

from luthien_stream.formats.convert.request.conversation import (
    AnswerFormat,
    Choice,
    Conversation,
    Effort,
    Tool,
    leading,
)
from luthien_stream.formats.convert.request.fields import Fields, must_be, unsupported
from luthien_stream.formats.convert.request.from_chat_messages import turn_of

WORDS = {"stop": "stop", "tier": "service_tier", "top_k": "top_k"}
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
TIERS = ("auto", "default", "flex", "priority", "scale", "fast")
SHARED = ("metadata", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier")
_HINTS = ("model", "store", "prediction")
_NOTHING = {
    "n": 1,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "top_logprobs": 0,
    "modalities": ["text"],
}
"""Fields that others have no words for, each with the value that means nothing."""


def read_chat(body: Any) -> Conversation:
    """The conversation in a body. Raises `RequestError` for what other formats have no words for."""
    fields = Fields(body)
    conversation = Conversation(words=WORDS, stream=bool(fields.flag("stream")))
    _read_stream_options(fields)
    turns = [turn_of(message) for message in fields.objects("messages")]
    conversation.system, conversation.turns = leading(turns)
    conversation.tools = [_tool(tool) for tool in fields.objects("tools")]
    conversation.choice, conversation.parallel = choice_of(fields), fields.flag("parallel_tool_calls")
    new, old = fields.whole("max_completion_tokens"), fields.whole("max_tokens")
    conversation.limit = new if new is not None else old
    conversation.stop = fields.texts("stop")
    conversation.temperature, conversation.top_p = fields.number("temperature"), fields.number("top_p")
    conversation.top_k = fields.whole("top_k")
    conversation.answer_format = _format(fields)
    effort = fields.word("reasoning_effort", EFFORTS)
    conversation.effort = Effort(effort) if effort else None
    conversation.verbosity = fields.text("verbosity") or None
    read_labels(fields, conversation)
    for name, value in _NOTHING.items():
        fields.only(name, value)
    fields.leave(*_HINTS)
    fields.done()
    return conversation


def wants_usage(body: Any) -> bool:
    """True if the client's stream shall end with token counts."""
    options = body.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def read_labels(fields: Fields, conversation: Conversation) -> None:
    """Take what OpenAI's two formats spell alike: who asks, at what price, and what is cached."""
    conversation.user = fields.text("user")
    conversation.tier = fields.word("service_tier", TIERS)
    conversation.shared = {name: said for name in SHARED if (said := fields.take(name)) is not None}
    conversation.cached = "prompt_cache_key" in conversation.shared or fields.take("cache_control") is not None


def choice_of(fields: Fields) -> Choice | None:
    """The choice of a tool: a word, or an object that names one in either of OpenAI's formats."""
    if fields.holds("tool_choice", str):
        word = fields.word("tool_choice", ("auto", "none", "required"))
        return Choice("none") if word == "none" else Choice("any" if word == "required" else "auto")
    choice = fields.object("tool_choice")
    if choice is None:
        return None
    kind = choice.word("type", ("function", "custom", "local_shell"))
    if kind == "local_shell":
        choice.done()
        return Choice("tool", kind)
    named = choice.object(kind or "function") or choice
    name = named.needed("name")
    named.done()
    choice.done()
    return Choice("tool", name)


def _read_stream_options(fields: Fields) -> None:
    """Take how the stream is written: that is a matter between the client and us."""
    if (options := fields.object("stream_options")) is not None:
        options.leave("include_usage", "include_obfuscation")
        options.done()


def _tool(tool: Fields) -> Tool:
    kind = tool.word("type", ("function", "custom"))
    tool.leave("cache_control")
    inner = tool.object(kind or "function")
    if inner is None:
        raise must_be(tool.at(kind or "function"), "an object")
    name, description = inner.needed("name"), inner.text("description")
    if kind == "custom":
        found = Tool(name, tool.path, description, kind="custom", grammar=_grammar(inner))
    else:
        found = Tool(name, tool.path, description, inner.mapping("parameters"), inner.flag("strict"))
    inner.done()
    tool.done()
    return found


def _grammar(custom: Fields) -> dict[str, object] | None:
    """The form of free input; in chat the grammar lies one level deeper than in Responses."""
    form = custom.object("format")
    if form is None:
        return None
    if form.word("type", ("text", "grammar")) == "text":
        form.done()
        return None
    grammar = form.mapping("grammar") or {}
    form.done()
    return {"type": "grammar", **grammar}


def _format(fields: Fields) -> AnswerFormat | None:
    form = fields.object("response_format")
    if form is None:
        return None
    kind = form.word("type", ("text", "json_object", "json_schema"))
    inner = form.object("json_schema") if kind == "json_schema" else None
    form.done()
    if kind == "json_schema" and inner is None:
        raise must_be(form.at("json_schema"), "an object")
    return schema_of(inner) if inner is not None else plain_format(kind, form.path)


def plain_format(kind: str | None, path: str) -> AnswerFormat | None:
    """The form of an answer without a schema: none for text."""
    return AnswerFormat(path) if kind == "json_object" else None


def schema_of(fields: Fields) -> AnswerFormat:
    """A schema with its name, as OpenAI's two formats give it."""
    schema = fields.mapping("schema")
    if schema is None:
        raise unsupported(fields.path, "no schema")
    path, strict = fields.path, fields.flag("strict")
    found = AnswerFormat(path, schema, fields.needed("name"), fields.text("description"), strict)
    fields.done()
    return found
