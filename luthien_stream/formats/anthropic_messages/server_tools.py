"""Calls of the provider's own tools: each needs its result in the same turn, and no result stands without its call."""

from __future__ import annotations

from typing import Any

from luthien_stream.formats.anthropic_messages.wire import Block
from luthien_stream.formats.framing import parsed_frame

Json = dict[str, Any]
_KINDS = {"web_search": "web_search", "web_fetch": "web_fetch", "code_execution": "code_execution"} | {
    f"{name}_code_execution": f"{name}_code_execution" for name in ("bash", "text_editor")
}
"""The name of a tool to what its results are called after."""


class ServerTools:
    """The calls that were written and have no result yet."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[str, str]] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def admits(self, kind: str, id: str, name: str, use: str) -> bool:
        """Take note of a block that is to be written; False for a result whose call was not."""
        if kind in ("server_tool_use", "mcp_tool_use"):
            self._open[id] = (kind, name)
        elif kind.endswith("_tool_result"):
            return self._open.pop(use, None) is not None
        return True

    def admits_block(self, kind: str, start: bytes) -> bool:
        """The same for a block that begins with this frame, or is all of it."""
        found = parsed_frame(start)
        block = found.get("content_block", found)
        return self.admits(kind, str(block.get("id")), str(block.get("name")), str(block.get("tool_use_id")))

    def admits_flow(self, block: Block) -> bool:
        """The same for a block as it is read."""
        return self.admits(block.type, block.id, block.name, block.tool_use_id)

    def missing(self) -> list[Json]:
        """Results for the calls that will get none, as the provider reports its own failures; none are open then."""
        found, self._open = self._open, {}
        return [_failed(id, kind, name) for id, (kind, name) in found.items()]


def _failed(id: str, kind: str, name: str) -> Json:
    if kind == "mcp_tool_use":
        said = [{"type": "text", "text": "unavailable"}]
        return {"type": "mcp_tool_result", "tool_use_id": id, "is_error": True, "content": said}
    prefix = _KINDS.get(name, "tool_search" if name.startswith("tool_search") else name)
    error = {"type": f"{prefix}_tool_result_error", "error_code": "unavailable"}
    return {"type": f"{prefix}_tool_result", "tool_use_id": id, "content": error}
