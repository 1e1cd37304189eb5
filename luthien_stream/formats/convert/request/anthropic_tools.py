"""The tools of an Anthropic request: some are deferred, and a conversation may add and remove them on its way.

Others have no words for that: they are offered what is in force at the end of the conversation.
"""

from __future__ import annotations

from luthien_stream.formats.convert.request.conversation import Tool
from luthien_stream.formats.convert.request.fields import Fields, must_be, unsupported
from luthien_stream.formats.convert.request.tools import fits_strict

_HINTS = ("cache_control", "eager_input_streaming")


class Offered:
    """The tools that the model may call so far."""

    def __init__(self, tools: list[Fields]) -> None:
        self._known: dict[str, Tool] = {}
        self._names: set[str] = set()
        for tool in tools:
            deferred = bool(tool.flag("defer_loading"))
            name = self._define(tool)
            if not deferred:
                self._names.add(name)

    @property
    def tools(self) -> list[Tool]:
        """The tools, in the order in which they were defined."""
        return [tool for name, tool in self._known.items() if name in self._names]

    def add(self, name: str, path: str) -> None:
        """Offer a tool from here on."""
        if name not in self._known:
            raise must_be(path, "the name of a tool in `tools`")
        self._names.add(name)

    def change(self, kind: str, block: Fields) -> None:
        """Take a `tool_addition` or a `tool_removal`."""
        if kind not in ("tool_addition", "tool_removal"):
            raise unsupported(block.path, kind)
        tool = block.object("tool")
        if tool is None:
            raise must_be(block.at("tool"), "an object")
        said = tool.needed("type")
        definition = tool.object("definition") if said == "tool_definition" and kind == "tool_addition" else None
        if definition is not None:
            name = self._define(definition)
        elif said == "tool_reference":
            name = tool.needed("name")
        else:
            raise unsupported(tool.at("type"), said)
        tool.done()
        if kind == "tool_addition":
            self.add(name, tool.path)
        else:
            self._names.discard(name)

    def _define(self, tool: Fields) -> str:
        tool.only("type", "custom")
        tool.only("allowed_callers", ["direct"])
        tool.leave("defer_loading", *_HINTS)
        schema, name = tool.mapping("input_schema"), tool.needed("name")
        strict = bool(tool.flag("strict")) and fits_strict(schema)
        self._known[name] = Tool(name, tool.path, tool.text("description"), schema, strict or None)
        tool.done()
        return name
