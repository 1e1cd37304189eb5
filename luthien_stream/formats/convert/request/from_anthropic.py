"""A body for Anthropic's `/v1/messages`, read."""

from __future__ import annotations

from typing import Any

from luthien_stream.formats.convert.request.conversation import (
    AnswerFormat,
    Choice,
    Conversation,
    Effort,
    Part,
    Reasoning,
    Text,
    Tool,
    Turn,
)
from luthien_stream.formats.convert.request.fields import Fields, must_be, unsupported
from luthien_stream.formats.convert.request.from_anthropic_blocks import blocks_of, texts_of
from luthien_stream.formats.convert.request.tools import fits_strict

WORDS = {"stop": "stop_sequences", "tier": "service_tier", "top_k": "top_k", "limit": "max_tokens"}
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_HINTS = ("cache_control", "context_management", "speed", "diagnostics", "billing_policy")
"""Where to cache, what to clear from long contexts, how fast to answer: none changes what an answer means."""
_TOOL_HINTS = ("cache_control", "eager_input_streaming")


def read_messages(body: Any) -> Conversation:
    """The conversation in a body. Raises `RequestError` for what other formats have no words for."""
    fields = Fields(body)
    fields.leave("model")
    conversation = Conversation(words=WORDS, stream=bool(fields.flag("stream")))
    conversation.system = _system(fields)
    conversation.turns = [_turn(message) for message in fields.objects("messages")]
    conversation.tools = [_tool(tool) for tool in fields.objects("tools")]
    _read_choice(fields, conversation)
    conversation.limit = fields.whole("max_tokens")
    conversation.stop = fields.texts("stop_sequences")
    conversation.temperature, conversation.top_p = fields.number("temperature"), fields.number("top_p")
    conversation.top_k = fields.whole("top_k")
    if (metadata := fields.object("metadata")) is not None:
        conversation.user = metadata.text("user_id")
        metadata.done()
    tier = fields.word("service_tier", ("auto", "standard_only"))
    conversation.tier = "default" if tier == "standard_only" else tier
    _read_thinking(fields, conversation)
    fields.leave(*_HINTS)
    fields.done()
    _refuse_prefill(conversation)
    return conversation


def _system(fields: Fields) -> list[str]:
    if fields.holds("system", str):
        return [text for text in (fields.text("system"),) if text]
    return texts_of(fields.objects("system"))


def _turn(message: Fields) -> Turn:
    role, path = message.needed("role"), message.path
    if message.holds("content", str):
        text = message.text("content")
        parts: tuple[Part, ...] = (Text(text),) if text else ()
    else:
        parts = tuple(blocks_of(message.objects("content")))
    message.done()
    match role:
        case "user":
            return Turn("user", parts, path)
        case "assistant":
            return Turn("assistant", parts, path)
        case "system":
            return Turn("system", parts, path)
    raise must_be(f"{path}.role", "user, assistant or system")


def _tool(tool: Fields) -> Tool:
    tool.only("type", "custom")
    tool.only("defer_loading", False)
    tool.only("allowed_callers", ["direct"])
    tool.leave(*_TOOL_HINTS)
    schema = tool.mapping("input_schema")
    strict = bool(tool.flag("strict")) and fits_strict(schema)
    found = Tool(tool.needed("name"), tool.path, tool.text("description"), schema, strict or None)
    tool.done()
    return found


def _read_choice(fields: Fields, conversation: Conversation) -> None:
    choice = fields.object("tool_choice")
    if choice is None:
        return
    mode = choice.word("type", ("auto", "any", "none", "tool"))
    serial = choice.flag("disable_parallel_tool_use")
    conversation.parallel = None if serial is None else not serial
    match mode:
        case "tool":
            conversation.choice = Choice("tool", choice.needed("name"))
        case "any":
            conversation.choice = Choice("any")
        case "none":
            conversation.choice = Choice("none")
        case _:
            conversation.choice = Choice("auto")
    choice.done()


def _read_thinking(fields: Fields, conversation: Conversation) -> None:
    """Take `thinking`, and `output_config` with its effort and format."""
    level, config = None, fields.object("output_config")
    old = fields.object("output_format")
    if config is not None:
        level = config.word("effort", _EFFORTS)
        old = config.object("format") or old
        config.done()
    if old is not None:
        old.only("type", "json_schema")
        schema = old.mapping("schema") or {}
        conversation.answer_format = AnswerFormat(old.path, schema, strict=fits_strict(schema))
        old.done()
    thinking = fields.object("thinking")
    if thinking is None:
        conversation.effort = Effort(level) if level else None
        return
    kind = thinking.word("type", ("enabled", "adaptive", "disabled", "between_tools"))
    budget, display = thinking.whole("budget_tokens"), thinking.word("display", ("summarized", "omitted"))
    thinking.done()
    if kind in ("disabled", "between_tools"):
        conversation.effort = Effort("none")
        return
    shown = display == "summarized" or (kind == "enabled" and display is None)
    conversation.effort = Effort(level, budget, "auto" if shown else "")


def _refuse_prefill(conversation: Conversation) -> None:
    """An answer that the client began cannot be continued by others: they would give another one."""
    last = conversation.turns[-1] if conversation.turns else None
    if last is not None and last.role == "assistant" and not all(isinstance(part, Reasoning) for part in last.parts):
        raise unsupported(last.path, "the beginning of the answer")
