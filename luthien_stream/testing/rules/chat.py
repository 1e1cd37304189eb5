"""What OpenAI refuses in a request for `/v1/chat/completions`, in its words: calls, their answers, empty messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from luthien_stream.testing.rules.issued import Issued, Json
from luthien_stream.testing.rules.refused import Refused, first_repeated, is_id

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
ID_LENGTH, NAME_LENGTH = 40, 64
_PARTS = {
    "user": {"text", "image_url", "input_audio", "file"},
    "assistant": {"text", "refusal"},
    "tool": {"text"},
    "system": {"text"},
    "developer": {"text"},
}


def check_chat(body: Json, issued: Issued) -> None:
    """Raise `Refused` for a request that OpenAI would not take."""
    _check_tools(body)
    messages = body["messages"]
    for number, message in enumerate(messages):
        path, role = f"messages[{number}]", message.get("role")
        if role not in ROLES:
            known = ", ".join(repr(one) for one in ROLES)
            raise Refused(f"Invalid value: '{role}'. Supported values are: {known}.", f"{path}.role", "invalid_value")
        _check_content(path, message, role)
        if role == "assistant":
            _check_calls(path, message)
            _check_answers(number, messages)
        elif role == "tool":
            _check_answer(number, messages)


def _check_tools(body: Json) -> None:
    if body.get("tools") == []:
        raise _empty("tools")
    for number, tool in enumerate(body.get("tools") or ()):
        inner = tool.get(tool.get("type"), {})
        _check_name(f"tools[{number}].{tool.get('type')}.name", inner.get("name"))


def _check_content(path: str, message: Json, role: str) -> None:
    content = message.get("content")
    if content == []:
        raise _empty(f"{path}.content")
    said = message.get("refusal") or message.get("tool_calls") or message.get("function_call")
    if content == "" and role == "assistant" and not said:
        raise Refused(f"Invalid '{path}.content': empty string.", f"{path}.content", "invalid_value")
    if isinstance(content, list):
        for number, part in enumerate(content):
            if part.get("type") not in _PARTS.get(role, ()):
                known = ", ".join(f"'{one}'" for one in sorted(_PARTS.get(role, ())))
                message_ = f"Invalid value: '{part.get('type')}'. Supported values are: {known}."
                raise Refused(message_, f"{path}.content[{number}].type", "invalid_value")
    elif content is None:
        if role != "assistant" or not (said or message.get("audio")):
            raise Refused("Invalid value for 'content': expected a string, got null.", f"{path}.content")
    elif not isinstance(content, str):
        raise Refused(f"Invalid type for '{path}.content': expected a string or an array.", path, "invalid_type")


def _check_calls(path: str, message: Json) -> None:
    calls = message.get("tool_calls")
    if calls == []:
        raise _empty(f"{path}.tool_calls")
    for number, call in enumerate(calls or ()):
        here, kind = f"{path}.tool_calls[{number}]", call.get("type")
        _check_id(f"{here}.id", call.get("id"))
        if kind not in ("function", "custom") or not isinstance(call.get(kind), dict):
            known = "'function' and 'custom'"
            message_ = f"Invalid value: '{kind}'. Supported values are: {known}."
            raise Refused(message_, f"{here}.type", "invalid_value")
        _check_name(f"{here}.{kind}.name", call[kind].get("name"))
        if kind == "function":
            check_arguments(f"{here}.function.arguments", call[kind].get("arguments"))
    if (twice := first_repeated(call.get("id") for call in calls or ())) is not None:
        raise Refused(f"Duplicate value for 'tool_call_id' of '{twice}'.", f"{path}.tool_calls", "invalid_value")


def check_arguments(path: str, arguments: Any) -> None:
    """Raise `Refused` unless arguments are a string with a JSON object in it."""
    if not isinstance(arguments, str):
        kind = "null" if arguments is None else type(arguments).__name__
        raise Refused(f"Invalid type for '{path}': expected a string, but got {kind}.", path, "invalid_type")
    try:
        given = msgspec.json.decode(arguments.encode())
    except msgspec.DecodeError:
        given = None
    if not isinstance(given, dict):
        raise Refused(f"Invalid '{path}': the string is no JSON object.", path, "invalid_value")


def _check_answers(number: int, messages: Sequence[Json]) -> None:
    """Every call of a message is answered right behind it."""
    calls = [call["id"] for call in messages[number].get("tool_calls") or ()]
    answered = set()
    for message in messages[number + 1 :]:
        if message.get("role") != "tool":
            break
        answered.add(message.get("tool_call_id"))
    if missing := [id for id in calls if id not in answered]:
        raise Refused(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(missing)}",
            f"messages.[{number + 1}].role",
        )


def _check_answer(number: int, messages: Sequence[Json]) -> None:
    """A tool's message answers a call of the assistant's message before it, once."""
    id = messages[number].get("tool_call_id")
    before = number - 1
    while before >= 0 and messages[before].get("role") == "tool":
        if messages[before].get("tool_call_id") == id:
            raise Refused(f"Duplicate value for 'tool_call_id' of '{id}' in message[{number}].", None, "invalid_value")
        before -= 1
    calls = messages[before].get("tool_calls") if before >= 0 else None
    if id not in {call.get("id") for call in calls or ()}:
        raise Refused(
            "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
            "'tool_calls'.",
            f"messages.[{number}].role",
        )


def _check_id(path: str, id: Any) -> None:
    if not isinstance(id, str) or not id:
        raise Refused(f"Missing required parameter: '{path}'.", path, "missing_required_parameter")
    if len(id) > ID_LENGTH:
        raise Refused(
            f"Invalid '{path}': string too long. Expected a string with maximum length {ID_LENGTH}, but got a string "
            f"with length {len(id)} instead.",
            path,
            "string_above_max_length",
        )


def _check_name(path: str, name: Any) -> None:
    if not is_id(name) or len(name) > NAME_LENGTH:
        raise Refused(
            f"Invalid '{path}': string does not match pattern. Expected a string that matches the pattern "
            "'^[a-zA-Z0-9_-]+$'.",
            path,
            "invalid_value",
        )


def _empty(path: str) -> Refused:
    message = f"Invalid '{path}': empty array. Expected an array with minimum length 1, but got an empty array instead."
    return Refused(message, path, "empty_array")
