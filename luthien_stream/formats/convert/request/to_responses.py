"""A conversation, written as a body for OpenAI's `/v1/responses`."""

from __future__ import annotations

from collections.abc import Iterator
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
from luthien_stream.formats.convert.request.ids import id_for, name_for, user_for
from luthien_stream.formats.convert.request.images import file_fields, image_url
from luthien_stream.formats.convert.request.to_chat import ANSWER_NAME, CHOICES
from luthien_stream.formats.convert.request.tools import NO_ARGUMENTS, called
from luthien_stream.formats.json import dump

FORMAT = "openai_responses"
LEAST_LIMIT = 16
"""Responses take no smaller `max_output_tokens`: a smaller bound becomes this one."""


def write_responses(conversation: Conversation, model: str) -> bytes:
    """The body for a model. Raises `RequestError` for what Responses have no words for."""
    for name, said in (("stop", conversation.stop), ("top_k", conversation.top_k)):
        if said:
            raise unsupported(conversation.words[name])
    limit = conversation.limit
    body: dict[str, Any] = {"model": model, "input": _input(conversation.turns), "store": False}
    _put(
        body,
        instructions="\n\n".join(conversation.system) or None,
        max_output_tokens=None if limit is None else max(limit, LEAST_LIMIT),
        temperature=conversation.temperature,
        top_p=conversation.top_p,
        text=_text_options(conversation),
        user=user_for(conversation.user),
        service_tier=conversation.tier,
        stream=conversation.stream or None,
        **conversation.shared,
    )
    if conversation.tools:
        body["tools"] = [_tool(tool) for tool in conversation.tools]
        _put(body, tool_choice=_choice(conversation), parallel_tool_calls=conversation.parallel)
    effort = conversation.effort
    if effort is not None and not never_thinks(model):
        reasoning: dict[str, Any] = {}
        _put(reasoning, effort=level_of(effort), summary=effort.shown or None)
        _put(body, reasoning=reasoning or None)
        if effort.level != "none":
            body["include"] = ["reasoning.encrypted_content"]
    return dump(body)


def _put(body: dict[str, Any], **said: Any) -> None:
    body.update({name: value for name, value in said.items() if value is not None})


def _input(turns: list[Turn]) -> list[dict[str, Any]]:
    free = {part.id for turn in turns for part in turn.parts if isinstance(part, ToolUse) and part.kind == "custom"}
    return [item for turn in turns for item in _items(turn, free)]


def _items(turn: Turn, free: set[str]) -> Iterator[dict[str, Any]]:
    """The items of a turn, in order; `free` has the ids of calls with free input."""
    role = "developer" if turn.role == "system" else turn.role
    said: list[dict[str, Any]] = []
    for part in turn.parts:
        if isinstance(part, Text | Image | Document):
            said.append(_said(part, turn.role == "assistant"))
            continue
        if said:
            yield {"type": "message", "role": role, "content": said}
            said = []
        match part:
            case Reasoning():
                yield from _reasoning(part)
            case ToolUse():
                yield _use(part)
            case ToolResult():
                yield _result(part, part.id in free)
    if said:
        yield {"type": "message", "role": role, "content": said}


def _said(part: Text | Image | Document, by_assistant: bool) -> dict[str, Any]:
    match part:
        case Text():
            if not by_assistant:
                return {"type": "input_text", "text": part.text}
            if part.refusal:
                return {"type": "refusal", "refusal": part.text}
            return {"type": "output_text", "text": part.text, "annotations": []}
        case Image():
            return {"type": "input_image", "image_url": image_url(part), "detail": part.detail or "auto"}
        case Document():
            return {"type": "input_file", **({"file_url": part.url} if part.url else file_fields(part))}


def _reasoning(part: Reasoning) -> Iterator[dict[str, Any]]:
    """Its own reasoning only: others cannot be decrypted there."""
    if part.seal.owner == FORMAT and part.seal.data:
        summary = [{"type": "summary_text", "text": part.text}] if part.text else []
        yield {"type": "reasoning", "summary": summary, "encrypted_content": part.seal.data}


def _use(use: ToolUse) -> dict[str, Any]:
    id, name = id_for(FORMAT, use.id), name_for(FORMAT, use.name)
    if use.kind == "custom":
        return {"type": "custom_tool_call", "call_id": id, "name": name, "input": use.arguments}
    return {"type": "function_call", "call_id": id, "name": name, "arguments": use.arguments.strip() or "{}"}


def _result(result: ToolResult, free: bool) -> dict[str, Any]:
    content = list(result.content)
    if not content and result.failed:
        content = [Text("The tool failed.")]
    texts = [part.text for part in content if isinstance(part, Text)]
    output: Any = [_said(part, False) for part in content]
    if len(texts) == len(content):
        output = "\n".join(texts)
    kind = "custom_tool_call_output" if free else "function_call_output"
    return {"type": kind, "call_id": id_for(FORMAT, result.id), "output": output}


def _tool(tool: Tool) -> dict[str, Any]:
    written: dict[str, Any] = {"type": tool.kind, "name": called(tool, FORMAT)}
    _put(written, description=tool.description or None)
    if tool.kind == "custom":
        _put(written, format=tool.grammar)
        return written
    # Responses hold a tool to its schema unless told otherwise; the other formats do so only if asked.
    return {**written, "parameters": tool.schema or NO_ARGUMENTS, "strict": tool.strict or False}


def _choice(conversation: Conversation) -> Any:
    choice = conversation.choice
    if choice is None:
        return None
    if choice.mode != "tool":
        return CHOICES[choice.mode]
    kind = next((tool.kind for tool in conversation.tools if tool.name == choice.name), "function")
    return {"type": kind, "name": name_for(FORMAT, choice.name)}


def _text_options(conversation: Conversation) -> dict[str, Any] | None:
    options: dict[str, Any] = {}
    _put(options, format=_format(conversation.answer_format), verbosity=conversation.verbosity)
    return options or None


def _format(form: AnswerFormat | None) -> dict[str, Any] | None:
    if form is None:
        return None
    if form.schema is None:
        return {"type": "json_object"}
    said: dict[str, Any] = {"type": "json_schema", "name": form.name or ANSWER_NAME, "schema": form.schema}
    _put(said, description=form.description or None)
    return {**said, "strict": form.strict or False}
