"""A conversation, written as a body for OpenAI's `/v1/chat/completions`."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from luthien_stream.formats.convert.request.conversation import (
    AnswerFormat,
    Conversation,
    Document,
    Image,
    Reasoning,
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)
from luthien_stream.formats.convert.request.effort import level_of, never_thinks
from luthien_stream.formats.convert.request.fields import unsupported
from luthien_stream.formats.convert.request.ids import name_for, user_for
from luthien_stream.formats.convert.request.images import file_fields, image_url
from luthien_stream.formats.convert.request.tools import NO_ARGUMENTS, as_function, function_arguments
from luthien_stream.formats.json import dump

FORMAT = "openai_chat"
CHOICES = {"auto": "auto", "any": "required", "none": "none"}
ANSWER_NAME = "answer"
"""The name of a schema that has none: OpenAI requires one."""


def write_chat(conversation: Conversation, model: str) -> bytes:
    """The body for a model. Raises `RequestError` for what chat has no words for."""
    messages: list[dict[str, Any]] = []
    if conversation.system:
        messages.append({"role": "system", "content": "\n\n".join(conversation.system)})
    for by_assistant, run in groupby(conversation.turns, lambda turn: turn.role == "assistant"):
        messages += (_assistant if by_assistant else _others)(list(run))
    body: dict[str, Any] = {"model": model, "messages": messages}
    if conversation.tools:
        body["tools"] = [_tool(as_function(tool, FORMAT)) for tool in conversation.tools]
        _put(body, tool_choice=_choice(conversation), parallel_tool_calls=conversation.parallel)
    effort = conversation.effort
    _put(
        body,
        max_completion_tokens=conversation.limit,
        stop=conversation.stop or None,
        temperature=conversation.temperature,
        top_p=conversation.top_p,
        top_k=conversation.top_k,
        response_format=_format(conversation.answer_format),
        reasoning_effort=level_of(effort) if effort is not None and not never_thinks(model) else None,
        verbosity=conversation.verbosity,
        user=user_for(conversation.user),
        service_tier=conversation.tier,
        stream=conversation.stream or None,
        stream_options={"include_usage": True} if conversation.stream else None,
        **conversation.shared,
    )
    return dump(body)


def _put(body: dict[str, Any], **said: Any) -> None:
    body.update({name: value for name, value in said.items() if value is not None})


def _others(turns: list[Turn]) -> list[dict[str, Any]]:
    """What comes between two turns of the assistant: the results of its calls first, wherever they were."""
    results = [part for turn in turns for part in turn.parts if isinstance(part, ToolResult)]
    messages = [_result(result) for result in results]
    if shown := [piece for result in results for piece in _beside(result)]:
        messages.append({"role": "user", "content": shown})
    for turn in turns:
        parts = [_part(part) for part in turn.parts if isinstance(part, Text | Image | Document)]
        if parts and turn.role == "system":
            messages.append({"role": "system", "content": "\n\n".join(part["text"] for part in parts)})
        elif parts:
            messages.append({"role": "user", "content": _plain(parts)})
    return messages


def _plain(parts: list[dict[str, Any]]) -> Any:
    """Content as plain text where it is one: not every server takes an array."""
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _part(part: Text | Image | Document) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            detail = {"detail": part.detail} if part.detail else {}
            return {"type": "image_url", "image_url": {"url": image_url(part), **detail}}
        case Document():
            if part.url:
                raise unsupported(part.path, "a document by its URL")
            return {"type": "file", "file": file_fields(part)}


def _result(result: ToolResult) -> dict[str, Any]:
    texts = [part.text for part in result.content if isinstance(part, Text)]
    if any(not isinstance(part, Text) for part in result.content):
        texts.append("[Shown in the next message.]")
    if not texts and result.failed:
        texts.append("The tool failed.")
    return {"role": "tool", "tool_call_id": result.id, "content": "\n".join(texts)}


def _beside(result: ToolResult) -> list[dict[str, Any]]:
    """Images in a result: chat takes them from the user only."""
    shown = [_part(part) for part in result.content if not isinstance(part, Text)]
    return [{"type": "text", "text": f"From the result of tool call {result.id}:"}, *shown] if shown else []


def _assistant(turns: list[Turn]) -> list[dict[str, Any]]:
    """One message: calls must stand together."""
    parts = [part for turn in turns for part in turn.parts]
    texts = [part.text for part in parts if isinstance(part, Text)]
    calls = [part for part in parts if isinstance(part, ToolUse)]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None}
    own = [part for part in parts if isinstance(part, Reasoning) and part.seal.owner == FORMAT]
    if text := "".join(part.text for part in own):
        message["reasoning_content"] = text
    if blocks := [_block(part) for part in own if part.seal.data]:
        message["thinking_blocks"] = blocks
    if calls:
        message["tool_calls"] = [_call(call) for call in calls]
    return [message] if texts or calls else []


def _block(part: Reasoning) -> dict[str, Any]:
    if part.seal.redacted:
        return {"type": "redacted_thinking", "data": part.seal.data}
    return {"type": "thinking", "thinking": part.text, "signature": part.seal.data}


def _call(call: ToolUse) -> dict[str, Any]:
    said = {"name": name_for(FORMAT, call.name), "arguments": function_arguments(call)}
    return {"id": call.id, "type": "function", "function": said}


def _tool(tool: Tool) -> dict[str, Any]:
    said: dict[str, Any] = {"name": tool.name, "parameters": tool.schema or NO_ARGUMENTS}
    _put(said, description=tool.description or None, strict=tool.strict or None)
    return {"type": "function", "function": said}


def _choice(conversation: Conversation) -> Any:
    choice = conversation.choice
    if choice is None:
        return None
    if choice.mode == "tool":
        return {"type": "function", "function": {"name": name_for(FORMAT, choice.name)}}
    return CHOICES[choice.mode]


def _format(form: AnswerFormat | None) -> dict[str, Any] | None:
    if form is None:
        return None
    if form.schema is None:
        return {"type": "json_object"}
    said: dict[str, Any] = {"name": form.name or ANSWER_NAME, "schema": form.schema}
    _put(said, description=form.description or None, strict=form.strict)
    return {"type": "json_schema", "json_schema": said}
