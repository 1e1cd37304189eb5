"""A conversation, written as a body for Anthropic's `/v1/messages`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Raw

from luthien_stream.formats.convert.request.conversation import (
    Conversation,
    Document,
    Effort,
    Image,
    Part,
    Reasoning,
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)
from luthien_stream.formats.convert.request.effort import (
    BUDGETS,
    LEAST_BUDGET,
    adapts,
    takes_system_turns,
)
from luthien_stream.formats.convert.request.fields import must_be, unsupported
from luthien_stream.formats.convert.request.ids import id_for, name_for
from luthien_stream.formats.convert.request.images import PDF
from luthien_stream.formats.convert.request.tools import NO_ARGUMENTS, as_function, function_arguments
from luthien_stream.formats.json import dump, parse

FORMAT = "anthropic_messages"
DEFAULT_LIMIT = 32_000
"""`max_tokens` where the client gave no bound: Anthropic requires one, and every Claude since 4 takes this."""
_TIERS = {"auto": "auto", "default": "standard_only"}
_LEVELS = {"minimal": "low"}
_THOUGHTS = {"thinking", "redacted_thinking"}


def write_messages(conversation: Conversation, model: str) -> bytes:
    """The body for a model. Raises `RequestError` for what Anthropic has no words for."""
    limit = conversation.limit if conversation.limit is not None else DEFAULT_LIMIT
    body: dict[str, Any] = {"model": model, "max_tokens": limit}
    if conversation.system:
        body["system"] = [block for text in conversation.system for block in _blocks(Text(text))]
    body["messages"] = _messages(conversation.turns, model)
    tools = [as_function(tool, FORMAT) for tool in conversation.tools]
    if tools:
        body["tools"] = [_tool(tool) for tool in tools]
        _put(body, tool_choice=_choice(conversation))
    elif called_before := _called(conversation.turns):
        body["tools"] = [_tool(tool) for tool in called_before]
        body["tool_choice"] = {"type": "none"}
    if conversation.temperature is not None and conversation.temperature > 1:
        raise unsupported("temperature", "above 1")
    user = conversation.user or conversation.shared.get("safety_identifier")
    _put(
        body,
        stop_sequences=conversation.stop or None,
        temperature=conversation.temperature,
        top_p=conversation.top_p,
        top_k=conversation.top_k,
        metadata={"user_id": user} if user else None,
        service_tier=_tier(conversation),
        stream=conversation.stream or None,
        cache_control={"type": "ephemeral"} if conversation.cached else None,
    )
    _think(body, conversation, model, limit)
    return dump(body)


def _put(body: dict[str, Any], **said: Any) -> None:
    body.update({name: value for name, value in said.items() if value is not None})


def _messages(turns: Sequence[Turn], model: str) -> list[dict[str, Any]]:
    """Turns in Anthropic's order: a user's turn begins with the results of tools, an assistant's ends with calls."""
    messages: list[dict[str, Any]] = []
    late: list[Part] = []  # what a system turn says, until the user's turn around it is over
    for turn in turns:
        if turn.role == "assistant":
            _close(messages, late)
        elif turn.role == "system" and takes_system_turns(model) and messages and messages[-1]["role"] == "user":
            late.extend(turn.parts)
            continue
        role = "assistant" if turn.role == "assistant" else "user"
        parts = _as_reminder(turn) if turn.role == "system" else turn.parts
        blocks = [block for part in parts for block in _blocks(part)]
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        elif blocks:
            messages.append({"role": role, "content": blocks})
    _close(messages, late)
    for message in messages:
        message["content"].sort(key=_place)
        _think_first(message["content"])
    if messages and turns[-1].role == "assistant" and messages[-1]["role"] == "assistant":
        raise unsupported(turns[-1].path, "an answer as the last message: Anthropic would continue it")
    return messages


def _as_reminder(turn: Turn) -> list[Part]:
    """What the system says, in the user's turn: in the tags that Claude takes for words that are not the user's."""
    text = "\n".join(part.text for part in turn.parts if isinstance(part, Text))
    return [Text(f"<system-reminder>\n{text}\n</system-reminder>")]


def _close(messages: list[dict[str, Any]], late: list[Part]) -> None:
    if late:
        messages.append({"role": "system", "content": [block for part in late for block in _blocks(part)]})
        late.clear()


def _think_first(blocks: list[dict[str, Any]]) -> None:
    """Put what a policy said before the model thought behind that: an answer that thinks begins with it."""
    thoughts = [block["type"] in _THOUGHTS for block in blocks]
    if True in thoughts:
        begin = thoughts.index(True)
        end = thoughts.index(False, begin) if False in thoughts[begin:] else len(blocks)
        blocks[:end] = blocks[begin:end] + blocks[:begin]


def _place(block: dict[str, Any]) -> int:
    kind = block["type"]
    return -1 if kind == "tool_result" else int(kind == "tool_use")


def _blocks(part: Part) -> list[dict[str, Any]]:
    match part:
        case Text():
            # Anthropic refuses texts of white space alone.
            return [] if not part.text or part.text.isspace() else [_text(part.text)]
        case Image():
            return [_image(part)]
        case Document():
            return [_document(part)]
        case Reasoning():
            return _reasoning(part)
        case ToolUse():
            return [_use(part)]
        case ToolResult():
            return [_result(part)]


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image(image: Image) -> dict[str, Any]:
    if image.url:
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    return {"type": "image", "source": {"type": "base64", "media_type": image.media_type, "data": image.data}}


def _document(document: Document) -> dict[str, Any]:
    if document.url:
        source = {"type": "url", "url": document.url}
    else:
        source = {"type": "base64", "media_type": PDF, "data": document.data}
    return {"type": "document", "source": source, **({"title": document.name} if document.name else {})}


def _reasoning(part: Reasoning) -> list[dict[str, Any]]:
    """Its own reasoning only: Anthropic refuses any that it did not sign."""
    if part.seal.owner != FORMAT or not part.seal.data:
        return []
    if part.seal.redacted:
        return [{"type": "redacted_thinking", "data": part.seal.data}]
    return [{"type": "thinking", "thinking": part.text, "signature": part.seal.data}]


def _use(use: ToolUse) -> dict[str, Any]:
    arguments = function_arguments(use).encode("utf-8", "surrogatepass")
    try:
        readable = isinstance(parse(arguments), dict)
    except ValueError:
        readable = False
    if not readable:
        raise must_be(use.path, "a call with a JSON object for arguments")
    return {
        "type": "tool_use",
        "id": id_for(FORMAT, use.id),
        "name": name_for(FORMAT, use.name),
        "input": Raw(arguments),
    }


def _result(result: ToolResult) -> dict[str, Any]:
    content = [block for part in result.content for block in _blocks(part)]
    block = {"type": "tool_result", "tool_use_id": id_for(FORMAT, result.id), "content": content}
    return {**block, **({"is_error": True} if result.failed else {})}


def _tool(tool: Tool) -> dict[str, Any]:
    schema = {"type": "object", **(tool.schema or NO_ARGUMENTS)}
    written: dict[str, Any] = {"name": tool.name, "input_schema": schema}
    _put(written, description=tool.description or None, strict=tool.strict or None)
    return written


def _called(turns: Sequence[Turn]) -> list[Tool]:
    """The tools that were called: Anthropic takes no calls of tools that it does not know, even if none is offered."""
    uses = [part for turn in turns for part in turn.parts if isinstance(part, ToolUse)]
    return [Tool(name, "") for name in dict.fromkeys(name_for(FORMAT, use.name) for use in uses)]


def _choice(conversation: Conversation) -> dict[str, Any] | None:
    choice, serial = conversation.choice, conversation.parallel is False
    if choice is None and not serial:
        return None
    mode = choice.mode if choice is not None else "auto"
    written: dict[str, Any] = {"type": mode}
    if choice is not None and mode == "tool":
        written["name"] = name_for(FORMAT, choice.name)
    if serial and mode != "none":
        written["disable_parallel_tool_use"] = True
    return written


def _tier(conversation: Conversation) -> str | None:
    if conversation.tier is not None and conversation.tier not in _TIERS:
        raise unsupported(conversation.words["tier"], conversation.tier)
    return _TIERS.get(conversation.tier or "")


def _think(body: dict[str, Any], conversation: Conversation, model: str, limit: int) -> None:
    """Write how much to think, and the form of the answer."""
    config: dict[str, Any] = {}
    effort = conversation.effort
    if effort is not None:
        body.update(_thinking(effort, body["messages"], model, limit))
        if adapts(model) and effort.level not in (None, "none"):
            config["effort"] = _LEVELS.get(effort.level, effort.level)
    form = conversation.answer_format
    if form is not None and form.schema is None:
        raise unsupported(form.path, "JSON without a schema")
    if form is not None:
        config["format"] = {"type": "json_schema", "schema": form.schema}
    if config:
        body["output_config"] = config


def _thinking(effort: Effort, messages: list[dict[str, Any]], model: str, limit: int) -> dict[str, Any]:
    if effort.level == "none":
        return {"thinking": {"type": "disabled"}}
    if _resumes_without_thoughts(messages):
        return {}
    if adapts(model):
        return {"thinking": {"type": "adaptive", "display": "summarized"}}
    budget = min(BUDGETS[effort.level or "medium"], limit // 2)
    return {"thinking": {"type": "enabled", "budget_tokens": budget}} if budget >= LEAST_BUDGET else {}


def _resumes_without_thoughts(messages: list[dict[str, Any]]) -> bool:
    """True where results of tools come back and the client kept no thought of the turn that made the calls.

    Anthropic then takes no thinking: the model goes on without, until the user speaks again.
    """
    kinds = [(message["role"], {block["type"] for block in message["content"]}) for message in messages]
    asked = [at for at, (role, types) in enumerate(kinds) if role == "user" and "tool_result" not in types]
    turn = kinds[asked[-1] + 1 :] if asked else kinds
    thought = any(types & _THOUGHTS for role, types in turn if role == "assistant")
    return not thought and any("tool_result" in types for _, types in turn)
