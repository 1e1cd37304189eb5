"""A responses request: parts over instructions and input, chat-form views, and edits where the client has its words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Self

from msgspec import Raw

from luthien_stream.core.lens import RequestPart
from luthien_stream.formats.errors import EditError, RequestError
from luthien_stream.formats.json import DROP, parse
from luthien_stream.formats.openai_responses.chat_view import chat_messages, chat_tools
from luthien_stream.formats.openai_responses.items import TOOLS
from luthien_stream.formats.openai_responses.parts import is_models, item_parts
from luthien_stream.formats.request import RequestView

_SYSTEM = ("system", "developer")
_JSON_FIELDS = frozenset({"action", "actions", "operation", "arguments"})


class ResponsesRequest(RequestView):
    """A body for `/v1/responses`. Its history may be the provider's (`previous_response_id`), and `input` be absent."""

    _talk = "input"
    _signed = True

    @property
    def max_tokens(self) -> int | None:
        """The bound of the answer, None if not said."""
        limit = self.get("max_output_tokens")
        return limit if isinstance(limit, int) else None

    @property
    def messages(self) -> Sequence[Any]:
        """The conversation in OpenAI chat form."""
        return chat_messages(self.get("instructions"), self._turns)

    @property
    def tools(self) -> Sequence[Any]:
        """The tools in OpenAI chat form."""
        return chat_tools(self.get("tools"))

    def set_max_tokens(self, limit: int) -> Self:
        """Bound the answer."""
        return self.set("max_output_tokens", limit)

    def add_system(self, text: str) -> Self:
        """Add an instruction behind the ones that are there."""
        said = self.get("instructions")
        leading = 0
        while leading < len(self._turns) and self._turns[leading].get("role") in _SYSTEM:
            leading += 1
        if said or not leading:
            return self.set("instructions", f"{said}\n\n{text}" if said else text)
        turns = self._raw_items("input")
        added = {"role": self._turns[leading - 1]["role"], "content": text}
        return self.set("input", [*turns[:leading], added, *turns[leading:]])

    def add_user(self, text: str) -> Self:
        """Add a user's message at the end."""
        said, added = self.get("input"), {"role": "user", "content": text}
        if isinstance(said, list):
            return self._grow(("input",), added)
        return self.set("input", [*({"role": "user", "content": one} for one in (said,) if one), added])

    def drop_tool(self, name: str) -> Self:
        """Take a tool away, by its name or type, and a choice that names it; without tools their settings go too."""
        request = self._without_tool(("tools",), self.get("tools"), name)
        if request is self:
            return self
        choice = self.get("tool_choice")
        if isinstance(choice, dict) and isinstance(choice.get("tools"), list):
            request = request._without_tool(("tool_choice", "tools"), choice["tools"], name)
        chosen = request.get("tool_choice")
        if _tool_name(chosen) == name or (isinstance(chosen, dict) and chosen.get("tools") == []):
            request = request._with(("tool_choice",), DROP)
        if not request.get("tools"):
            for field in ("tools", "tool_choice", "parallel_tool_calls"):
                request = request._with((field,), DROP)
        return request

    def _without_tool(self, path: tuple[str | int, ...], tools: Any, name: str) -> Self:
        """A request without a tool of a list, or of a namespace in it."""
        request = self
        for position in reversed(range(len(tools or ()))):
            tool = tools[position]
            if _tool_name(tool) == name:
                request = request._with((*path, position), DROP)
            elif isinstance(tool, dict) and isinstance(tool.get("tools"), list):
                request = request._without_tool((*path, position, "tools"), tool["tools"], name)
        return request

    @cached_property
    def _turns(self) -> list[dict[str, Any]]:
        """The items as they are on the wire; a bare text is a message of the user's."""
        said = self.get("input")
        if isinstance(said, str):
            return [{"role": "user", "content": said}]
        return list(said or ())

    def _is_models(self, turn: dict[str, Any]) -> bool:
        return is_models(turn)

    def _check_talk(self) -> None:
        said = self.get("input")
        if not isinstance(said, str | list | None):
            raise RequestError("`input` must be a string or an array of items.", "input")
        for position, item in enumerate(said if isinstance(said, list) else ()):
            self._check_item(item, f"input[{position}]")
        if not isinstance(self.get("instructions"), str | None):
            raise RequestError("`instructions` must be a string.", "instructions")
        self._typed("max_output_tokens", int, "a whole number")
        self._typed("previous_response_id", str, "a string")

    def _check_item(self, item: Any, where: str) -> None:
        if isinstance(item, dict) and ("role" in item or item.get("type", "message") == "message"):
            self._check_message(item, where)
        elif not isinstance(item, dict) or not isinstance(item.get("type"), str):
            raise RequestError(f"`{where}` must be an object with a `type` or a `role`.", where)
        else:
            for name in ("output", "summary", "content"):
                listed = item.get(name)
                if isinstance(listed, list) and not all(isinstance(one, dict) for one in listed):
                    raise RequestError(f"`{where}.{name}` must be an array of objects.", f"{where}.{name}")

    def _spelled(self, part: RequestPart, text: str) -> Any:
        field = part.path[-1]
        if part.kind != "tool_call" or field not in _JSON_FIELDS:
            return text
        try:
            arguments = parse(text.encode("utf-8", "surrogatepass"))
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict | list):
            raise EditError(f"The arguments for {part.name} must be JSON.")
        return text if self._is_text(part) else Raw(text.encode("utf-8", "surrogatepass"))

    def _is_text(self, part: RequestPart) -> bool:
        """True if a call's arguments are JSON in a text, False if they are JSON of their own."""
        item = self._turns[int(part.path[1])]
        return TOOLS[str(item["type"])].text

    def _scan(self) -> Iterator[RequestPart]:
        said, new = self.get("instructions"), not self._newest
        if isinstance(said, str):
            yield RequestPart("system", "text", said, path=("instructions",), new=new)
        given = self.get("input")
        if isinstance(given, str):
            yield RequestPart("user", "text", given, path=("input",), new=True)
            return
        names: dict[str, str] = {}
        for position, item in enumerate(self._turns):
            yield from item_parts(item, ("input", position), position >= self._newest, names)


def _tool_name(tool: Any) -> str:
    """The name in a tool or in a choice of one; its type if it has none."""
    return str(tool.get("name") or tool.get("type") or "") if isinstance(tool, dict) else ""
