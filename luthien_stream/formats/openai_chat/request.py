"""An OpenAI chat request: parts over the messages, and edits in the fields that the client itself uses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

from luthien_stream.core.lens import RequestPart
from luthien_stream.formats.errors import EditError, RequestError
from luthien_stream.formats.json import DROP, parse
from luthien_stream.formats.openai_chat.parts import turn_parts
from luthien_stream.formats.request import RequestView

_LIMITS = ("max_completion_tokens", "max_tokens")
_SYSTEM = ("system", "developer")


class ChatRequest(RequestView):
    """A body for `/v1/chat/completions`."""

    @property
    def choices(self) -> int:
        """How many answers are asked for."""
        return self.get("n") or 1

    @property
    def max_tokens(self) -> int | None:
        """The bound of the answer, None if not said."""
        said = [self.get(name) for name in _LIMITS]
        return next((limit for limit in said if isinstance(limit, int)), None)

    @property
    def messages(self) -> Sequence[Any]:
        """The conversation as it is."""
        return self._turns

    @property
    def tools(self) -> Sequence[Any]:
        """The tools as they are."""
        return self.get("tools") or ()

    @property
    def wants_usage(self) -> bool:
        """True if the stream shall end with a chunk of token counts."""
        options = self.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True

    def set_max_tokens(self, limit: int) -> Self:
        """Bound the answer, in the field that the client uses."""
        return self.set(next((name for name in _LIMITS if self.get(name) is not None), _LIMITS[0]), limit)

    def add_system(self, text: str) -> Self:
        """Add an instruction behind the ones at the beginning, under the role that they have."""
        leading = 0
        while leading < len(self._turns) and self._turns[leading].get("role") in _SYSTEM:
            leading += 1
        role = self._turns[leading - 1]["role"] if leading else "system"
        turns = self._raw_items("messages")
        return self.set("messages", [*turns[:leading], {"role": role, "content": text}, *turns[leading:]])

    def add_user(self, text: str) -> Self:
        """Add a user's message at the end."""
        return self._grow(("messages",), {"role": "user", "content": text})

    def drop_tool(self, name: str) -> Self:
        """Take a tool away, and a choice that names it; without tools their other settings go too."""
        request = self
        tools = self.get("tools") or []
        for position in reversed(range(len(tools))):
            if _tool_name(tools[position]) == name:
                request = request._with(("tools", position), DROP)
        if request is self:
            return self
        if _tool_name(self.get("tool_choice")) == name:
            request = request._with(("tool_choice",), DROP)
        if not request.get("tools"):
            for field in ("tools", "tool_choice", "parallel_tool_calls"):
                request = request._with((field,), DROP)
        return request

    def _check(self) -> None:
        super()._check()
        for field in ("n", *_LIMITS):
            self._typed(field, int, "a whole number")

    def _check_message(self, message: Any, where: str) -> None:
        super()._check_message(message, where)
        calls = message.get("tool_calls")
        if calls is None:
            return
        if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
            raise RequestError(f"`{where}.tool_calls` must be an array of objects.", f"{where}.tool_calls")

    def _spelled(self, part: RequestPart, text: str) -> Any:
        if part.kind == "tool_call" and part.path[-1] == "arguments":
            try:
                parse(text.encode())
            except ValueError:
                raise EditError(f"The arguments for {part.name} must be JSON.") from None
        return text

    def _scan(self) -> Iterator[RequestPart]:
        names: dict[str, str] = {}
        for position, turn in enumerate(self._turns):
            yield from turn_parts(turn, ("messages", position), position >= self._newest, names)


def _tool_name(tool: Any) -> str:
    """The name in a tool or in a choice of one, empty if it has none."""
    if not isinstance(tool, dict):
        return ""
    inner = tool.get("function") or tool.get("custom") or tool
    return str(inner.get("name", "")) if isinstance(inner, dict) else ""
