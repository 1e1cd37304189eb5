"""What Anthropic refuses in a request for `/v1/messages`, in its words: turns, thinking, calls and their results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from luthien_stream.testing.rules.anthropic_blocks import check_block
from luthien_stream.testing.rules.issued import Issued, Json
from luthien_stream.testing.rules.refused import Refused, first_repeated, is_id

THINKING = ("thinking", "redacted_thinking")
CACHED_BLOCKS = 4
LEAST_BUDGET = 1024
Turn = tuple[str, list[tuple[str, Json]]]
"""A role, and its blocks each with its path; turns of one role in a row are one."""


def check_messages(body: Json, issued: Issued) -> None:
    """Raise `Refused` for a request that Anthropic would not take."""
    _check_options(body)
    turns = _turns(body["messages"], issued)
    for number, (role, blocks) in enumerate(turns):
        if role == "assistant":
            following = turns[number + 1][1] if number + 1 < len(turns) else []
            last = number + 1 == len(turns)
            _check_thoughts(blocks, issued)
            _check_calls(blocks, following, last)
            _check_server_calls(blocks, last)
        else:
            _check_results(blocks, turns[number - 1][1] if number else [])
    ids = [block["id"] for _, blocks in turns for _, block in blocks if block["type"] == "tool_use"]
    if first_repeated(ids) is not None:
        raise Refused("messages: `tool_use` ids must be unique")
    thinks = isinstance(body.get("thinking"), dict) and body["thinking"].get("type") == "enabled"
    if thinks:
        _check_begins_with_thought(turns)
    _check_last(turns)


def _check_options(body: Json) -> None:
    tools = [tool for tool in body.get("tools") or () if isinstance(tool, dict)]
    if first_repeated(tool.get("name") for tool in tools) is not None:
        raise Refused("tools: Tool names must be unique.")
    for number, tool in enumerate(tools):
        if not is_id(tool.get("name")) or len(tool["name"]) > 128:
            raise Refused(f"tools.{number}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    thinking = body.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") == "enabled":
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or budget < LEAST_BUDGET:
            raise Refused("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if body["max_tokens"] <= budget:
            raise Refused("`max_tokens` must be greater than `thinking.budget_tokens`.")
        if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
            raise Refused("Thinking may not be enabled when tool_choice forces tool use.")
        if body.get("temperature") not in (None, 1):
            raise Refused("`temperature` may only be set to 1 when thinking is enabled.")
    if (count := _count_cached(body)) > CACHED_BLOCKS:
        raise Refused(f"A maximum of {CACHED_BLOCKS} blocks with cache_control may be provided. Found {count}.")


def _count_cached(value: Any) -> int:
    if isinstance(value, list):
        return sum(_count_cached(one) for one in value)
    if not isinstance(value, dict):
        return 0
    inner = [one for name, one in value.items() if name not in ("input", "input_schema")]
    return (value.get("cache_control") is not None) + sum(_count_cached(one) for one in inner)


def _turns(messages: Sequence[Any], issued: Issued) -> list[Turn]:
    turns: list[Turn] = []
    for number, message in enumerate(messages):
        path, role = f"messages.{number}", message.get("role")
        if role not in ("user", "assistant"):
            raise Refused(f"{path}.role: Input should be 'user' or 'assistant'")
        if extra := message.keys() - {"role", "content"}:
            raise Refused(f"{path}.{min(extra)}: Extra inputs are not permitted")
        last = role == "assistant" and number + 1 == len(messages)
        if not message.get("content") and not last:
            raise Refused(f"{path}: all messages must have non-empty content except for the optional final one")
        blocks = list(_blocks(path, message.get("content") or [], role, issued))
        if turns and turns[-1][0] == role:
            turns[-1][1].extend(blocks)
        else:
            turns.append((role, blocks))
    if not turns or turns[0][0] != "user":
        raise Refused('messages: first message must use the "user" role')
    return turns


def _blocks(path: str, content: Any, role: str, issued: Issued) -> Iterator[tuple[str, Json]]:
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for number, block in enumerate(blocks):
        check_block(f"{path}.content.{number}", block, role, issued)
        yield f"{path}.content.{number}", block


def _check_thoughts(blocks: Sequence[tuple[str, Json]], issued: Issued) -> None:
    """Thinking that began its answer begins its turn."""
    thoughts = [block for _, block in blocks if block["type"] in THINKING]
    if thoughts and blocks[-1][1]["type"] in THINKING:
        raise Refused(f"{blocks[-1][0]}: The final block in an assistant message cannot be `thinking`.")
    if not thoughts or blocks[0][1]["type"] in THINKING:
        return
    if (thoughts[0].get("signature") or thoughts[0].get("data")) in issued.leading:
        path, first = blocks[0]
        raise Refused(
            f"{path}.type: Expected `thinking` or `redacted_thinking`, but found `{first['type']}`. If an assistant "
            "message contains any thinking blocks, the first block must be `thinking` or `redacted_thinking`."
        )


def _check_calls(blocks: Sequence[tuple[str, Json]], following: Sequence[tuple[str, Json]], last: bool) -> None:
    calls = [block["id"] for _, block in blocks if block["type"] == "tool_use"]
    kinds = [block["type"] for _, block in blocks]
    if not calls:
        return
    behind = kinds[kinds.index("tool_use") :]
    answered = []
    for _, block in following:
        if block["type"] != "tool_result":
            break
        answered.append(block["tool_use_id"])
    missing = [id for id in calls if id not in answered]
    if missing or last or set(behind) != {"tool_use"}:
        path = (following or blocks)[0][0].partition(".content")[0]
        raise Refused(
            f"{path}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(missing or calls)}. Each `tool_use` block must have a corresponding `tool_result` block in "
            "the next message."
        )


def _check_results(blocks: Sequence[tuple[str, Json]], before: Sequence[tuple[str, Json]]) -> None:
    calls = {block["id"] for _, block in before if block["type"] == "tool_use"}
    seen: set[str] = set()
    for path, block in blocks:
        if block["type"] != "tool_result":
            continue
        id = block["tool_use_id"]
        if id not in calls:
            raise Refused(
                f"{path}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must "
                "have a corresponding `tool_use` block in the previous message."
            )
        if id in seen:
            raise Refused(f"{path}: each tool_use must have a single result. Found multiple with id: {id}")
        seen.add(id)


def _check_server_calls(blocks: Sequence[tuple[str, Json]], last: bool) -> None:
    """Each use of a server's tool has its result right behind it, unless the server is to go on from there."""
    open_uses: dict[str, str] = {}
    for path, block in blocks:
        behind = block["type"] == "server_tool_use" or "tool_use_id" in block
        for found in () if behind else open_uses.values():
            raise Refused(f"{found} was found without a corresponding tool result block")
        if block["type"] == "server_tool_use":
            open_uses[block["id"]] = f"{path}: `{block['name']}` tool use with id `{block['id']}`"
        elif "tool_use_id" in block and open_uses.pop(block["tool_use_id"], None) is None:
            raise Refused(
                f"{path}: unexpected `tool_use_id` found in `{block['type']}` blocks: {block['tool_use_id']}. Each "
                f"`{block['type']}` block must have a corresponding `server_tool_use` block before it."
            )
    for found in () if last else open_uses.values():
        raise Refused(f"{found} was found without a corresponding tool result block")


def _check_begins_with_thought(turns: Sequence[Turn]) -> None:
    """The turn whose calls are being answered begins with its thinking, while that is enabled."""
    if len(turns) < 2 or not any(block["type"] == "tool_result" for _, block in turns[-1][1]):
        return
    path, first = turns[-2][1][0]
    if first["type"] not in THINKING:
        raise Refused(
            f"{path}.type: Expected `thinking` or `redacted_thinking`, but found `{first['type']}`. When `thinking` is "
            "enabled, a final `assistant` message must start with a thinking block (preceding the lastmost set of "
            "`tool_use` and `tool_result` blocks)."
        )


def _check_last(turns: Sequence[Turn]) -> None:
    role, blocks = turns[-1]
    text = blocks[-1][1].get("text") if blocks else None
    if role == "assistant" and isinstance(text, str) and text != text.rstrip():
        raise Refused("messages: final assistant content cannot end with trailing whitespace")
