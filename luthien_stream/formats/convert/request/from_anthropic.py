"""A body for Anthropic's `/v1/messages`, read."""

from __future__ import annotations

from typing import Any

from luthien_stream.formats.convert.request.anthropic_tools import Offered
from luthien_stream.formats.convert.request.conversation import (
    AnswerFormat,
    Choice,
    Conversation,
    Effort,
    Part,
    Reasoning,
    Text,
    Turn,
    leading,
)
from luthien_stream.formats.convert.request.fields import Fields, must_be, unsupported
from luthien_stream.formats.convert.request.from_anthropic_blocks import blocks_of, system_blocks_of, texts_of
from luthien_stream.formats.convert.request.tools import fits_strict

WORDS = {"stop": "stop_sequences", "tier": "service_tier", "top_k": "top_k", "limit": "max_tokens"}
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_HINTS = ("cache_control", "context_management", "speed", "diagnostics")
"""Where to cache, what to clear from long contexts, how fast to answer: none changes what an answer means."""


def read_messages(body: Any) -> Conversation:
    """The conversation in a body. Raises `RequestError` for what other formats have no words for."""
    fields = Fields(body)
    fields.leave("model")
    conversation = Conversation(words=WORDS, stream=bool(fields.flag("stream")))
    conversation.system = _system(fields)
    offered = Offered(fields.objects("tools"))
    turns = _Turns(offered)
    for message in fields.objects("messages"):
        turns.add(message)
    texts, conversation.turns = leading(turns.shown())
    conversation.system, conversation.tools = [*conversation.system, *texts], offered.tools
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
    _read_thinking(fields, conversation, turns.effort)
    fields.leave(*_HINTS)
    fields.done()
    _refuse_prefill(conversation)
    return conversation


def _system(fields: Fields) -> list[str]:
    if fields.holds("system", str):
        return [text for text in (fields.text("system"),) if text]
    return texts_of(fields.objects("system"))


class _Turns:
    """Messages to turns. A system's message may change tools and effort from there on, or count for one turn only."""

    def __init__(self, offered: Offered) -> None:
        self._offered = offered
        self._turns: list[Turn] = []
        self._passing: list[int] = []  # the places of turns that are shown until the user speaks again
        self.effort: str | None = None

    def add(self, message: Fields) -> None:
        """Take a message."""
        role, path = message.needed("role"), message.path
        if role == "system":
            self._read_system(message)
        parts = self._parts(role, message)
        message.done()
        match role:
            case "user":
                self._hide()
                self._turns.append(Turn("user", parts, path))
            case "assistant":
                self._turns.append(Turn("assistant", parts, path))
            case "system":
                self._turns.append(Turn("system", parts, path))
            case _:
                raise must_be(f"{path}.role", "user, assistant or system")

    def shown(self) -> list[Turn]:
        """The turns that the model shall see."""
        return [turn for turn in self._turns if turn.parts]

    def _parts(self, role: str, message: Fields) -> tuple[Part, ...]:
        if message.holds("content", str):
            text = message.text("content")
            return (Text(text),) if text else ()
        blocks = message.objects("content")
        return tuple(system_blocks_of(blocks, self._offered) if role == "system" else blocks_of(blocks, self._offered))

    def _read_system(self, message: Fields) -> None:
        if message.word("clear_at", ("never", "next_user_message")) == "next_user_message":
            self._passing.append(len(self._turns))
        if (config := message.object("output_config")) is not None:
            self.effort = config.word("effort", _EFFORTS) or self.effort
            config.done()

    def _hide(self) -> None:
        for place in self._passing:
            self._turns[place] = Turn("system", (), self._turns[place].path)
        self._passing.clear()


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


def _read_thinking(fields: Fields, conversation: Conversation, latest: str | None) -> None:
    """Take `thinking`, and `output_config` with its effort and format; `latest` is the last turn's own effort."""
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
    level = latest or level
    thinking = fields.object("thinking")
    if thinking is None:
        conversation.effort = Effort(level) if level else None
        return
    kind = thinking.word("type", ("enabled", "adaptive", "disabled", "between_tools"))
    budget, display = thinking.whole("budget_tokens"), thinking.text("display")
    thinking.done()
    if kind in ("disabled", "between_tools"):
        conversation.effort = Effort("none")
        return
    shown = display == "summarized" or (kind == "enabled" and not display)
    conversation.effort = Effort(level, budget, "auto" if shown else "")


def _refuse_prefill(conversation: Conversation) -> None:
    """An answer that the client began cannot be continued by others: they would give another one."""
    last = conversation.turns[-1] if conversation.turns else None
    if last is not None and last.role == "assistant" and not all(isinstance(part, Reasoning) for part in last.parts):
        raise unsupported(last.path, "the beginning of the answer")
