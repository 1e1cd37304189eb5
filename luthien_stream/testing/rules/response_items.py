"""What OpenAI refuses in a single item of a response's input."""

from __future__ import annotations

from typing import Any

from luthien_stream.testing.rules.chat import check_arguments
from luthien_stream.testing.rules.issued import Issued, Json
from luthien_stream.testing.rules.refused import Refused, is_id

CALL_ID_LENGTH = 64
_FIELDS: dict[str, set[str]] = {
    "message": {"role", "content", "phase"},
    "reasoning": {"summary", "content", "encrypted_content"},
    "function_call": {"call_id", "name", "arguments", "namespace", "caller"},
    "function_call_output": {"call_id", "output", "caller"},
    "custom_tool_call": {"call_id", "name", "input", "namespace", "caller"},
    "custom_tool_call_output": {"call_id", "output", "caller"},
}
_COMMON = frozenset({"id", "type", "status"})
PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "custom_tool_call": "ctc",
    "web_search_call": "ws",
    "file_search_call": "fs",
    "shell_call": "sh",
    "apply_patch_call": "apc",
}
"""How the id of an item begins."""
KINDS = frozenset(
    {
        *_FIELDS,
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "computer_call",
        "computer_call_output",
        "image_generation_call",
        "local_shell_call",
        "local_shell_call_output",
        "shell_call",
        "shell_call_output",
        "apply_patch_call",
        "apply_patch_call_output",
        "mcp_call",
        "mcp_list_tools",
        "mcp_approval_request",
        "mcp_approval_response",
        "tool_search_call",
        "tool_search_output",
        "compaction",
        "item_reference",
    }
)
"""All types of items."""
_CONTENTS: dict[str, set[str]] = {
    "assistant": {"output_text", "refusal"},
    "user": {"input_text", "input_image", "input_file"},
    "system": {"input_text"},
    "developer": {"input_text"},
}
_CONTENT_FIELDS = {
    "output_text": {"type", "text", "annotations", "logprobs"},
    "refusal": {"type", "refusal"},
    "input_text": {"type", "text"},
}


def check_item(path: str, item: Any, issued: Issued) -> None:
    """Raise `Refused` for an item that OpenAI would not take."""
    kind = (item.get("type") or "message") if isinstance(item, dict) else None
    if kind not in KINDS:
        raise _invalid(f"{path}.type", str(kind), KINDS)
    if kind in _FIELDS and (extra := item.keys() - _FIELDS[kind] - _COMMON):
        unknown = f"{path}.{min(extra)}"
        raise Refused(f"Unknown parameter: '{unknown}'.", unknown, "unknown_parameter")
    match kind:
        case "message":
            _check_message(path, item)
        case "reasoning":
            _check_reasoning(path, item, issued)
        case "function_call":
            _check_call_id(path, item)
            if not is_id(item.get("name")):
                raise Refused(f"Invalid '{path}.name': string does not match pattern.", path, "invalid_value")
            check_arguments(f"{path}.arguments", item.get("arguments"))
        case "function_call_output" | "custom_tool_call" | "custom_tool_call_output":
            _check_call_id(path, item)


def _check_message(path: str, item: Json) -> None:
    role, content = item.get("role"), item.get("content")
    if role not in _CONTENTS:
        raise _invalid(f"{path}.role", str(role), _CONTENTS)
    if content is None:
        raise Refused(f"Missing required parameter: '{path}.content'.", path, "missing_required_parameter")
    for number, part in enumerate(content if isinstance(content, list) else ()):
        here, kind = f"{path}.content[{number}]", part.get("type")
        if kind not in _CONTENTS[role]:
            raise _invalid(here, str(kind), _CONTENTS[role])
        if kind in _CONTENT_FIELDS and (extra := part.keys() - _CONTENT_FIELDS[kind]):
            raise Refused(f"Unknown parameter: '{here}.{min(extra)}'.", here, "unknown_parameter")


def _check_reasoning(path: str, item: Json, issued: Issued) -> None:
    if not isinstance(item.get("summary"), list):
        raise Refused(f"Missing required parameter: '{path}.summary'.", path, "missing_required_parameter")
    sealed = item.get("encrypted_content")
    if sealed is None and item.get("id") is not None and item["id"] not in issued.items:
        raise Refused(f"Item with id '{item['id']}' not found. Items are not persisted when `store` is set to false.")
    if sealed is not None and sealed not in issued.seals:
        raise Refused(
            f"The encrypted content {str(sealed)[:20]}... could not be verified. Reason: Encrypted content could not "
            "be decrypted or parsed.",
            None,
            "invalid_encrypted_content",
        )


def _check_call_id(path: str, item: Json) -> None:
    id = item.get("call_id")
    if not isinstance(id, str) or not id:
        raise Refused(f"Missing required parameter: '{path}.call_id'.", path, "missing_required_parameter")
    if len(id) > CALL_ID_LENGTH:
        raise Refused(
            f"Invalid '{path}.call_id': string too long. Expected a string with maximum length {CALL_ID_LENGTH}, but "
            f"got a string with length {len(id)} instead.",
            f"{path}.call_id",
            "string_above_max_length",
        )


def _invalid(path: str, value: str, known: Any) -> Refused:
    supported = ", ".join(f"'{one}'" for one in sorted(known))
    return Refused(f"Invalid value: '{value}'. Supported values are: {supported}.", path, "invalid_value")
