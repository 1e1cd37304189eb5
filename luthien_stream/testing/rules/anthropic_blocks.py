"""What Anthropic refuses in a single block of a conversation."""

from __future__ import annotations

from typing import Any

from luthien_stream.testing.rules.issued import Issued, Json
from luthien_stream.testing.rules.refused import Refused, is_id

_COMMON = frozenset({"type", "cache_control"})
_FIELDS: dict[str, set[str]] = {
    "text": {"text", "citations"},
    "image": {"source"},
    "document": {"source", "title", "context", "citations"},
    "search_result": {"source", "title", "content", "citations"},
    "tool_use": {"id", "name", "input", "caller"},
    "tool_result": {"tool_use_id", "content", "is_error"},
    "server_tool_use": {"id", "name", "input", "caller"},
    "web_search_tool_result": {"tool_use_id", "content", "caller"},
    "web_fetch_tool_result": {"tool_use_id", "content", "caller"},
    "code_execution_tool_result": {"tool_use_id", "content"},
    "bash_code_execution_tool_result": {"tool_use_id", "content"},
    "text_editor_code_execution_tool_result": {"tool_use_id", "content"},
    "tool_search_tool_result": {"tool_use_id", "content"},
    "mcp_tool_use": {"id", "name", "input", "server_name"},
    "mcp_tool_result": {"tool_use_id", "content", "is_error"},
    "container_upload": {"file_id"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
}
_NEEDED: dict[str, tuple[str, ...]] = {
    "text": ("text",),
    "tool_use": ("id", "name", "input"),
    "tool_result": ("tool_use_id",),
    "server_tool_use": ("id", "name", "input"),
    "web_search_tool_result": ("tool_use_id", "content"),
    "thinking": ("thinking", "signature"),
    "redacted_thinking": ("data",),
}
_OF_USERS = frozenset({"image", "document", "tool_result", "search_result", "container_upload"})
_OF_BOTH = frozenset({"text"})
_SEALED = ("encrypted_content", "encrypted_index", "encrypted_stdout")


def check_block(path: str, block: Any, role: str, issued: Issued) -> None:
    """Raise `Refused` for a block that Anthropic would not take from this role."""
    kind = block.get("type") if isinstance(block, dict) else None
    if kind not in _FIELDS:
        raise Refused(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags")
    if kind not in _OF_BOTH and (kind in _OF_USERS) != (role == "user"):
        raise Refused(f"{path}: `{kind}` blocks can not be in `{role}` messages")
    _check_fields(f"{path}.{kind}", block, kind)
    match kind:
        case "text":
            _check_text(path, block)
        case "tool_use" | "server_tool_use" if not is_id(block["id"]):
            raise Refused(f"{path}.{kind}.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
        case "tool_use" if not is_id(block["name"]) or len(block["name"]) > 200:
            raise Refused(f"{path}.tool_use.name: String should match pattern '^[a-zA-Z0-9_-]{{1,200}}$'")
        case "tool_use" if not isinstance(block["input"], dict):
            raise Refused(f"{path}.tool_use.input: Input should be a valid dictionary")
        case "tool_result":
            _check_result(path, block, role, issued)
        case "thinking" if (block["thinking"], block["signature"]) not in issued.thoughts:
            raise Refused(f"{path}: Invalid `signature` in `thinking` block")
        case "redacted_thinking" if block["data"] not in issued.seals:
            raise Refused(f"{path}: Invalid `data` in `redacted_thinking` block")
    _check_seals(path, block, issued)


def _check_fields(path: str, block: Json, kind: str) -> None:
    if extra := block.keys() - _FIELDS[kind] - _COMMON:
        raise Refused(f"{path}.{min(extra)}: Extra inputs are not permitted")
    for name in _NEEDED.get(kind, ()):
        if name not in block:
            raise Refused(f"{path}.{name}: Field required")
    if kind in ("thinking", "redacted_thinking") and block.get("cache_control") is not None:
        raise Refused(f"{path}.cache_control: Extra inputs are not permitted")


def _check_text(path: str, block: Json) -> None:
    if not isinstance(block["text"], str):
        raise Refused(f"{path}.text.text: Input should be a valid string")
    if not block["text"]:
        if block.get("cache_control") is not None:
            raise Refused(f"{path}.text: cache_control cannot be set for empty text blocks")
        raise Refused("messages: text content blocks must be non-empty")
    if not block["text"].strip():
        raise Refused("messages: text content blocks must contain non-whitespace text")


def _check_result(path: str, block: Json, role: str, issued: Issued) -> None:
    if not is_id(block["tool_use_id"]):
        raise Refused(f"{path}.tool_result.tool_use_id: String should match pattern '^[a-zA-Z0-9_-]+$'")
    for number, inner in enumerate(block["content"] if isinstance(block.get("content"), list) else ()):
        check_block(f"{path}.tool_result.content.{number}", inner, role, issued)


def _check_seals(path: str, value: Any, issued: Issued) -> None:
    """What is encrypted is as the provider gave it."""
    if isinstance(value, list):
        for number, inner in enumerate(value):
            _check_seals(f"{path}.{number}", inner, issued)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name in _SEALED and inner is not None and inner not in issued.seals:
                raise Refused(f"{path}.{name}: Invalid `{name}`")
            if name not in ("input", "text"):
                _check_seals(f"{path}.{name}", inner, issued)
