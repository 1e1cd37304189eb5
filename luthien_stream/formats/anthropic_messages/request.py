"""An Anthropic request: parts over system and messages, chat-form views, and edits that keep the prompt cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

from msgspec import Raw

from luthien_stream.core.lens import RequestPart
from luthien_stream.formats.anthropic_messages.chat_view import chat_messages, chat_tools
from luthien_stream.formats.anthropic_messages.parts import system_parts, turn_parts
from luthien_stream.formats.errors import EditError, RequestError
from luthien_stream.formats.json import DROP, parse
from luthien_stream.formats.request import RequestView


class MessagesRequest(RequestView):
    """A body for `/v1/messages`."""

    _signed = True

    @property
    def max_tokens(self) -> int | None:
        """The bound of the answer, None if not said."""
        limit = self.get("max_tokens")
        return limit if isinstance(limit, int) else None

    @property
    def messages(self) -> Sequence[Any]:
        """The conversation in OpenAI chat form."""
        return chat_messages(self.get("system"), self._turns)

    @property
    def tools(self) -> Sequence[Any]:
        """The tools in OpenAI chat form."""
        return chat_tools(self.get("tools"))

    def set_max_tokens(self, limit: int) -> Self:
        """Bound the answer."""
        return self.set("max_tokens", limit)

    def add_system(self, text: str) -> Self:
        """Add an instruction behind the ones that are there, so that cached ones stay cached."""
        system = self.get("system")
        if isinstance(system, list):
            return self._grow(("system",), {"type": "text", "text": text})
        return self.set("system", f"{system}\n\n{text}" if system else text)

    def add_user(self, text: str) -> Self:
        """Add text at the end of the conversation: to the last turn if that is the user's, else as a new one."""
        block = {"type": "text", "text": text}
        last = len(self._turns) - 1
        if self._turns[last].get("role") != "user":
            return self._grow(("messages",), {"role": "user", "content": text})
        content = self._turns[last].get("content")
        if isinstance(content, list):
            return self._grow(("messages", last, "content"), block)
        blocks = [{"type": "text", "text": content}, block] if content else [block]
        return self._with(("messages", last, "content"), blocks)

    def drop_tool(self, name: str) -> Self:
        """Take a tool away, and a choice that names it."""
        tools = self.get("tools") or []
        request = self
        for position in reversed(range(len(tools))):
            if isinstance(tools[position], dict) and tools[position].get("name") == name:
                request = request._with(("tools", position), DROP)
        choice = self.get("tool_choice")
        named = isinstance(choice, dict) and choice.get("name") == name
        if choice is not None and request is not self and (named or not request.get("tools")):
            request = request._with(("tool_choice",), DROP)
        return request

    def _check(self) -> None:
        super()._check()
        self._typed("max_tokens", int, "a whole number")
        system = self.get("system")
        if not isinstance(system, str | list | None):
            raise RequestError("`system` must be a string or an array of text blocks.", "system")
        if isinstance(system, list) and not all(isinstance(block, dict) for block in system):
            raise RequestError("`system` must be an array of text blocks.", "system")

    def _spelled(self, part: RequestPart, text: str) -> Any:
        if part.kind != "tool_call":
            return text
        try:
            arguments = parse(text.encode())
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            raise EditError(f"The arguments for {part.name} must be a JSON object.")
        return Raw(text.encode())

    def _scan(self) -> Iterator[RequestPart]:
        yield from system_parts(self.get("system"), not self._newest)
        names: dict[str, str] = {}
        for position, turn in enumerate(self._turns):
            yield from turn_parts(turn, ("messages", position, "content"), position >= self._newest, names)
