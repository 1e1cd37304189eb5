"""What OpenAI refuses in a request for `/v1/responses`, in its words: items, what they need beside them, their ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luthien_stream.testing.rules.issued import Issued, Json
from luthien_stream.testing.rules.refused import Refused, first_repeated, is_id
from luthien_stream.testing.rules.response_items import KINDS, PREFIXES, check_item

CALLS = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "shell_call": "shell_call_output",
    "local_shell_call": "local_shell_call_output",
    "apply_patch_call": "apply_patch_call_output",
    "computer_call": "computer_call_output",
}
"""A call to what answers it."""
_CALL_OF = {output: call for call, output in CALLS.items()}
_MADE = KINDS - set(_CALL_OF) - {"mcp_approval_response", "item_reference"}


def check_responses(body: Json, issued: Issued) -> None:
    """Raise `Refused` for a request that OpenAI would not take."""
    for number, tool in enumerate(body.get("tools") or ()):
        if tool.get("type") in ("function", "custom") and not is_id(tool.get("name")):
            path = f"tools[{number}].name"
            raise Refused(f"Invalid '{path}': string does not match pattern.", path, "invalid_value")
    given = body.get("input")
    if not isinstance(given, list):
        return
    for number, item in enumerate(given):
        check_item(f"input[{number}]", item, issued)
    _check_ids(given)
    _check_calls(given, linked=bool(body.get("previous_response_id")))
    for number, item in enumerate(given):
        if item.get("type") == "reasoning":
            _check_reasoning(number, given, issued)
        elif (needs := issued.reasoning_of.get(str(item.get("id")))) is not None:
            _check_needs(number, given, needs)


def _check_ids(items: Sequence[Json]) -> None:
    for number, item in enumerate(items):
        prefix, id = PREFIXES.get(str(item.get("type") or "message")), item.get("id")
        if prefix and id is not None and not str(id).startswith(prefix):
            path = f"input[{number}].id"
            message = f"Invalid '{path}': '{id}'. Expected an ID that begins with '{prefix}'."
            raise Refused(message, path, "invalid_value")
    if (twice := first_repeated(item["id"] for item in items if item.get("id"))) is not None:
        message = f"Duplicate item found with id {twice}. Remove duplicate items from your input and try again."
        raise Refused(message, "input")


def _check_calls(items: Sequence[Json], linked: bool) -> None:
    """Every call has its output somewhere behind it, every output its call before it, or in what is linked."""
    open_calls: dict[tuple[str, str], bool] = {}
    for item in items:
        kind, id = str(item.get("type")), str(item.get("call_id"))
        if kind in CALLS:
            if (kind, id) in open_calls:
                raise Refused(f"Duplicate call_id {id} found in input.", "input", "invalid_value")
            open_calls[kind, id] = True
        elif kind in _CALL_OF and not linked:
            if (_CALL_OF[kind], id) not in open_calls:
                named = _CALL_OF[kind].replace("_", " ")
                raise Refused(f"No tool call found for {named} output with call_id {id}.", "input")
            if not open_calls[_CALL_OF[kind], id]:
                raise Refused(f"Duplicate output found for call_id {id}.", "input")
            open_calls[_CALL_OF[kind], id] = False
    for (kind, id), is_open in open_calls.items():
        if is_open:
            raise Refused(f"No tool output found for {kind.replace('_', ' ')} {id}.", "input")


def _check_reasoning(number: int, items: Sequence[Json], issued: Issued) -> None:
    """Reasoning is followed by what it led to: the very item if it has an id that says which."""
    id = str(items[number].get("id"))
    after = items[number + 1] if number + 1 < len(items) else {}
    needed = issued.item_after.get(id)
    own = after.get("type") == "reasoning" or _is_made(after)
    if not own or (needed is not None and after.get("id") not in (needed, None)):
        raise Refused(f"Item '{id}' of type 'reasoning' was provided without its required following item.", "input")


def _check_needs(number: int, items: Sequence[Json], needs: str) -> None:
    """An item that came with reasoning has it before it."""
    if not any(item.get("id") == needs for item in items[:number]):
        id, kind = items[number]["id"], items[number].get("type")
        message = f"Item '{id}' of type '{kind}' was provided without its required 'reasoning' item: '{needs}'."
        raise Refused(message, "input")


def _is_made(item: Any) -> bool:
    """True for an item that a model makes."""
    kind = item.get("type") or "message"
    return kind in _MADE and (kind != "message" or item.get("role") == "assistant")
