"""Tools that only one format has, made functions for the others, and schemas that OpenAI calls strict."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from luthien_stream.formats.convert.request.conversation import Tool, ToolUse
from luthien_stream.formats.convert.request.ids import name_for
from luthien_stream.formats.json import dump

NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}}
LOCAL_SHELL = "local_shell"
_INPUT = {"type": "string", "description": "The tool's whole input, as free text."}
_INPUT_SCHEMA = {
    "type": "object",
    "properties": {"input": _INPUT},
    "required": ["input"],
    "additionalProperties": False,
}
_SHELL_SCHEMA = {
    "type": "object",
    "properties": {
        "command": {"type": "array", "items": {"type": "string"}, "description": "The program and its arguments."},
        "working_directory": {"type": "string"},
        "timeout_ms": {"type": "integer"},
        "env": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["command"],
}
_MAX_DEPTH = 64


def as_function(tool: Tool, format: str) -> Tool:
    """The tool as a function of a provider: one with free input gets a single argument for it."""
    if tool.kind == "function":
        return replace(tool, name=called(tool, format))
    if tool.kind == "local_shell":
        return Tool(LOCAL_SHELL, tool.path, "Runs a command on the user's machine.", _SHELL_SCHEMA)
    return Tool(
        called(tool, format), tool.path, "\n\n".join(filter(None, (tool.description, _form(tool)))), _INPUT_SCHEMA
    )


def called(tool: Tool, format: str) -> str:
    """The name by which a provider of this format knows a tool."""
    return name_for(format, grouped(tool.namespace, tool.name))


def grouped(namespace: str, name: str) -> str:
    """A tool's name with that of its group, if it has one."""
    return f"{namespace}__{name}" if namespace else name


def function_arguments(use: ToolUse) -> str:
    """The arguments of a call as a function's: a JSON object."""
    if use.kind == "custom":
        return dump({"input": use.arguments}).decode()
    return use.arguments if use.arguments.strip() else "{}"


def fits_strict(schema: Any, depth: int = 0) -> bool:
    """True if OpenAI takes the schema as strict: every object is closed, and requires all that it has."""
    if depth > _MAX_DEPTH:
        return False
    if isinstance(schema, list):
        return all(fits_strict(item, depth + 1) for item in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties")
        required = schema.get("required")
        named = sorted(properties) if isinstance(properties, dict) else []
        if schema.get("additionalProperties") is not False or named != _names(required):
            return False
    return all(fits_strict(value, depth + 1) for value in schema.values())


def _form(tool: Tool) -> str:
    grammar = tool.grammar or {}
    if grammar.get("type") != "grammar":
        return ""
    return f"The input must follow this {grammar.get('syntax', '')} grammar:\n{grammar.get('definition', '')}"


def _names(required: Any) -> list[str] | None:
    """What an object must have, each once and sorted; None where it is no list of names."""
    if not isinstance(required, list | None) or not all(isinstance(name, str) for name in required or ()):
        return None
    return sorted(set(required or ()))
