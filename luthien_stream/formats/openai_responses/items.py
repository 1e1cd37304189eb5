"""The items of an answer as JSON: what each says to policies and to clients, and the same with other words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from luthien_stream.events.answer import Part, ToolCall, ToolKind
from luthien_stream.formats.errors import FrameError, ProtocolError
from luthien_stream.formats.framing import check_arguments
from luthien_stream.formats.json import dump, edit, fields, items, parse, parse_as
from luthien_stream.formats.openai_responses.wire import CONTENT


class Tool(Struct, frozen=True):
    """How a kind of tool call is spelled. `field` has its arguments: as text, or as JSON of their own."""

    kind: ToolKind
    field: str
    text: bool = False
    name: str = ""
    """The name of a tool that does not have one on the wire."""


TOOLS: dict[str, Tool] = {
    "function_call": Tool("function", "arguments", True),
    "custom_tool_call": Tool("custom", "input", True),
    "mcp_approval_request": Tool("mcp_approval", "arguments", True),
    "shell_call": Tool("shell", "action", name="shell"),
    "local_shell_call": Tool("local_shell", "action", name="local_shell"),
    "apply_patch_call": Tool("apply_patch", "operation", name="apply_patch"),
    "computer_call": Tool("computer", "action", name="computer"),
    "tool_search_call": Tool("tool_search", "arguments", name="tool_search"),
}
"""The items that ask the client to do something."""
TYPES = {tool.kind: type for type, tool in TOOLS.items()}
MESSAGE, REASONING = "message", "reasoning"
Words = list[tuple[str, str]]


class Item(Struct):
    """What is read of an item."""

    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    content: Any = None
    summary: Any = None
    role: Any = None
    encrypted_content: Any = None


class Content(Struct):
    """What is read of a content, a summary or the like."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None


_ITEM = msgspec.json.Decoder(Item)
_CONTENT = msgspec.json.Decoder(Content)


def read_item(raw: bytes) -> Item:
    """An item. Raises `ProtocolError` where it is none."""
    try:
        return parse_as(_ITEM, raw)
    except ValueError as error:
        raise ProtocolError(f"The provider sent an item that cannot be read: {error}.") from None


def contents(raw: bytes) -> list[bytes]:
    """The contents of an item, unparsed; none where it has no such list."""
    try:
        found = fields(raw).get("content")
        return [bytes(one) for one in items(found)] if found is not None and bytes(found) != b"null" else []
    except ValueError as error:
        raise ProtocolError(f"The provider sent an item with contents that cannot be read: {error}.") from None


def read_content(raw: bytes) -> tuple[str, str]:
    """The type of a content and its text, empty for one that is no text. Raises `ProtocolError` where it is none."""
    try:
        found = parse_as(_CONTENT, raw)
    except ValueError as error:
        raise ProtocolError(f"The provider sent a content that cannot be read: {error}.") from None
    return found.type, (found.refusal if found.type == "refusal" else found.text) or ""


def words(raw: bytes) -> Words:
    """Type and text of each content of a message."""
    return [read_content(one) for one in contents(raw)]


def thoughts(raw: bytes) -> str:
    """All text of a reasoning item: its summary, then its contents."""
    item = read_item(raw)
    found = [*_listed(item.summary), *_listed(item.content)]
    return "".join(str(one.get("text") or "") for one in found if isinstance(one, dict))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def call_of(raw: bytes, part: Part) -> ToolCall:
    """The call that an item is. Raises `ProtocolError` for one without a name."""
    item = read_item(raw)
    tool = TOOLS[item.type]
    name = tool.name or item.name or ""
    if not name:
        raise ProtocolError("The provider sent a tool call without a name.")
    return ToolCall(item.call_id or item.id or "", name, _arguments(raw, tool), part, tool.kind)


def _arguments(raw: bytes, tool: Tool) -> str:
    known = fields(raw)
    said = known.get(_field(known, tool))
    if said is None or bytes(said) == b"null":
        return ""
    value = parse(said) if tool.text else None
    if tool.text and not isinstance(value, str):
        raise ProtocolError(f"The provider sent a tool call whose {tool.field} is no text.")
    return value if isinstance(value, str) else bytes(said).decode("utf-8", "replace")


def _field(known: dict[str, Raw], tool: Tool) -> str:
    """Where the arguments are: newer computer calls have several actions."""
    return "actions" if tool.kind == "computer" and "action" not in known and "actions" in known else tool.field


def item_of(call: ToolCall, id: str) -> bytes:
    """The item for a call: the provider's own with these arguments, or a new one. Raises `FrameError`."""
    type = TYPES.get(call.kind, "function_call")
    tool = TOOLS[type]
    if call.part is not None and not call.edited:
        return bytes(call.part.start.item)
    arguments = _checked(call, tool)
    if call.part is not None:
        return edit(call.part.start.item, (_field(fields(call.part.start.item), tool),), arguments)
    item: dict[str, Any] = {"id": id, "type": type, "status": "completed", "call_id": call.id}
    if not tool.name:
        item["name"] = call.name
    return dump({**item, tool.field: arguments})


def _checked(call: ToolCall, tool: Tool) -> Any:
    if tool.text:
        check_arguments(call)
        return call.arguments
    try:
        found = parse(call.arguments.encode("utf-8", "surrogatepass"))
    except ValueError:
        found = None
    if not isinstance(found, dict | list):
        raise FrameError(f"The arguments for {call.name} must be JSON.")
    return Raw(call.arguments.encode("utf-8", "surrogatepass"))


def joined(pieces: Iterable[str]) -> str:
    """Pieces of a text as one; a character that was cut between its surrogates is whole again."""
    text = "".join(pieces)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return text


def leaves(value: Any) -> Iterator[str]:
    """All texts in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one)


def content_saying(raw: bytes, text: str, touched: bool) -> bytes:
    """A text content with this text; what repeats another text or points into it goes."""
    type, said = read_content(raw)
    if said == text and not touched:
        return raw
    known: dict[str, Any] = {**fields(raw), CONTENT.get(type, "text"): text}
    return dump({**known, **{name: [] for name in ("annotations", "logprobs") if name in known}})


def made_content(kind: str, text: str) -> bytes:
    """A text content made by us."""
    if kind == "refusal":
        return dump({"type": "refusal", "refusal": text})
    return dump({"type": "output_text", "text": text, "annotations": [], "logprobs": []})


def made_message(id: str, written: Sequence[bytes], status: str = "completed") -> bytes:
    """A message made by us."""
    content = [Raw(one) for one in written]
    return dump({"id": id, "type": MESSAGE, "status": status, "role": "assistant", "content": content})


def message_saying(raw: bytes, written: Sequence[bytes], touched: bool) -> bytes:
    """A message with these contents; the very same if it says the same."""
    if not touched and words(raw) == [read_content(one) for one in written]:
        return raw
    return edit(raw, ("content",), [Raw(one) for one in written])


def meaning(raw: bytes) -> tuple[Any, ...]:
    """What an item says, by which two spellings of it are compared."""
    item = read_item(raw)
    if item.type == MESSAGE:
        return item.type, item.id, words(raw)
    if item.type == REASONING:
        return item.type, item.id, thoughts(raw)
    if item.type in TOOLS:
        call = call_of(raw, Part("", "", 0))
        return item.type, call.id, call.name, call.arguments
    return item.type, item.id


def same(some: Iterable[bytes], others: Iterable[bytes]) -> bool:
    """True if two lists of items say the same."""
    return [meaning(raw) for raw in some] == [meaning(raw) for raw in others]
