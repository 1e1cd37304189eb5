"""A client's request as policies see and edit it: unparsed fields by name, each edit a new request.

Without an edit the bytes are the client's own object. With one, only the containers on its way are written anew.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Self

from msgspec import Raw

from luthien_stream.core.lens import RequestPart
from luthien_stream.formats.errors import EditError, RequestError
from luthien_stream.formats.json import DROP, Path, dump, edit, edit_all, fields, items, parse

_NOT_OURS = "The part is not of this request: ask the latest request for its parts."


class RequestView(ABC):
    """What all formats share. Reading raises `RequestError`, an impossible edit `EditError`."""

    _talk = "messages"
    """The field with the conversation."""

    def __init__(self, body: bytes, known: dict[str, Raw] | None = None) -> None:
        self._original = body
        self._fields = _object(body) if known is None else known
        self._edited = known is not None
        if known is None:
            self._check()

    @cached_property
    def body(self) -> bytes:
        """The bytes for the provider."""
        return dump(self._fields) if self._edited else self._original

    @property
    def changed(self) -> bool:
        """True after an edit that changed something."""
        return self._edited

    @property
    def model(self) -> str:
        """The model that is asked for."""
        return str(self.get("model"))

    @property
    def streamed(self) -> bool:
        """True if the answer is wanted as a stream."""
        return self.get("stream") is True

    @property
    def choices(self) -> int:
        """How many answers are asked for."""
        return 1

    @property
    @abstractmethod
    def max_tokens(self) -> int | None:
        """The bound of the answer, None if not said."""

    @property
    @abstractmethod
    def messages(self) -> Sequence[Any]:
        """The conversation in OpenAI chat form."""

    @property
    @abstractmethod
    def tools(self) -> Sequence[Any]:
        """The tools in OpenAI chat form."""

    @abstractmethod
    def set_max_tokens(self, limit: int) -> Self:
        """Bound the answer."""

    @abstractmethod
    def add_system(self, text: str) -> Self:
        """Add an instruction behind the ones that are there."""

    @abstractmethod
    def add_user(self, text: str) -> Self:
        """Add text at the end of the conversation, as the user."""

    @abstractmethod
    def drop_tool(self, name: str) -> Self:
        """Take a tool away, and a choice that names it."""

    @abstractmethod
    def _scan(self) -> Iterator[RequestPart]:
        """All parts, in order."""

    def get(self, field: str) -> Any:
        """A top-level field, parsed; None if absent."""
        raw = self._fields.get(field)
        return None if raw is None else parse(raw)

    @cached_property
    def _turns(self) -> list[dict[str, Any]]:
        """The messages as they are on the wire."""
        return list(self.get(self._talk))

    @cached_property
    def _newest(self) -> int:
        """The position behind the last assistant turn."""
        return max((i + 1 for i, turn in enumerate(self._turns) if self._is_models(turn)), default=0)

    def _is_models(self, turn: dict[str, Any]) -> bool:
        """True for a turn that the model made."""
        return turn.get("role") == "assistant"

    @cached_property
    def _parts(self) -> tuple[RequestPart, ...]:
        return tuple(self._scan())

    def parts(self) -> Sequence[RequestPart]:
        """Every piece of the conversation, flat, in order."""
        return self._parts

    def set(self, field: str, value: Any) -> Self:
        """Set a top-level field."""
        if field in self._fields and (known := self.get(field)) == value and type(known) is type(value):
            return self
        return self._with((field,), value)

    def unset(self, field: str) -> Self:
        """Take a top-level field out."""
        return self._with((field,), DROP) if field in self._fields else self

    def set_model(self, model: str) -> Self:
        """Ask for another model."""
        return self.set("model", model)

    def replace(self, part: RequestPart, text: str) -> Self:
        """Give a part another text: for a tool call, other arguments as JSON text."""
        return self.replace_all([(part, text)])

    def replace_all(self, texts: Iterable[tuple[RequestPart, str]]) -> Self:
        """Give several parts another text, in one pass over the body."""
        known = {part.path: part for part in self._parts}
        changes: dict[str, dict[tuple[str | int, ...], Any]] = {}
        for part, text in texts:
            if known.get(part.path) != part:
                raise EditError(_NOT_OURS)
            if part.kind in ("image", "thinking") or not part.path:
                raise EditError(f"A part of kind {part.kind} cannot be given another text.")
            if text != part.text:
                changes.setdefault(str(part.path[0]), {})[part.path[1:]] = self._spelled(part, text)
        after = dict(self._fields)
        for top, inner in changes.items():
            after[top] = Raw(edit_all(after.get(top, Raw(b"{}")), inner))
        if all(_same(self._fields.get(top), after[top]) for top in changes):
            return self
        return type(self)(self._original, after)

    def drop(self, part: RequestPart) -> Self:
        """Take a part out, and its message if nothing else is in it."""
        self._find(part)
        if part.kind == "tool_result":
            raise EditError("A tool result cannot be dropped: its call would have no answer. Replace its text.")
        if part.kind == "tool_call" and any(p.kind == "tool_result" and p.id == part.id for p in self._parts):
            raise EditError("A tool call that has a result cannot be dropped.")
        if part.kind == "thinking" and self._signed:
            raise EditError("Signed thinking cannot be dropped from a request.")
        return self._without(part.path)

    _signed = False
    """True where the provider signs thinking."""

    def _spelled(self, part: RequestPart, text: str) -> Any:
        return text

    def _find(self, part: RequestPart) -> None:
        if part not in self._parts:
            raise EditError(_NOT_OURS)

    def _with(self, path: Path, value: Any) -> Self:
        """A request with another value at a path; this one if nothing changes."""
        top, deeper = path[0], path[1:]
        before = self._fields.get(str(top))
        after = dict(self._fields)
        if value is DROP and not deeper:
            after.pop(str(top), None)
        else:
            after[str(top)] = Raw(edit(before if before is not None else b"{}", deeper, value))
        if _same(before, after.get(str(top))):
            return self
        return type(self)(self._original, after)

    def _without(self, path: Path) -> Self:
        """A request without the item that holds what is at a path, and without what that leaves empty."""
        if path == (self._talk,):
            raise EditError("The only message of a request cannot be dropped.")
        if len(path) == 1 or path[-1] == "reasoning_content":
            return self._with(path, DROP)
        message = fields(self._raw(path[:2])) if path[0] == "messages" else {}
        if path[-1] == "content" and len(path) == 3 and _is_there(message.get("tool_calls")):
            return self._with(path, None)
        if path[-1] == "tool_calls" and _is_there(message.get("content")):
            return self._with(path, DROP)
        holder = path[:-1]
        alone = isinstance(path[-1], int) and len(items(self._raw(holder))) == 1
        if alone or not isinstance(path[-1], int):
            return self._without(holder)
        return self._with(path, DROP)

    def _grow(self, path: Path, item: Any) -> Self:
        """A request with one more item at the end of the array at a path."""
        return self._with((*path, len(items(self._raw(path)))), item)

    def _raw_items(self, field: str) -> list[Raw]:
        """The items of a top-level array, unparsed."""
        return items(self._fields[field])

    def _raw(self, path: Path) -> bytes | Raw:
        raw = self._fields[str(path[0])]
        for step in path[1:]:
            raw = fields(raw)[step] if isinstance(step, str) else items(raw)[step]
        return raw

    def _check(self) -> None:
        """Refuse what cannot be routed or shown to policies; all else is the provider's to judge."""
        model = self._typed("model", str, "a string", needed=True)
        if not model:
            raise RequestError("`model` must not be empty.", "model")
        self._typed("stream", bool, "true or false")
        self._typed("tools", list, "an array")
        self._check_talk()

    def _check_talk(self) -> None:
        """Refuse a conversation that cannot be shown to policies."""
        messages = self._typed("messages", list, "an array of messages", needed=True)
        if not messages:
            raise RequestError("`messages` must have at least one message.", "messages")
        for position, message in enumerate(messages):
            self._check_message(message, f"messages[{position}]")

    def _check_message(self, message: Any, where: str) -> None:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise RequestError(f"`{where}` must be an object with a `role`.", where)
        content = message.get("content")
        if not isinstance(content, str | list | None):
            raise RequestError(f"`{where}.content` must be a string or an array.", f"{where}.content")
        if isinstance(content, list) and not all(isinstance(block, dict) for block in content):
            raise RequestError(f"`{where}.content` must be an array of objects.", f"{where}.content")

    def _typed(self, field: str, kind: type, name: str, *, needed: bool = False) -> Any:
        try:
            value = self.get(field)
        except ValueError as error:
            raise RequestError(f"`{field}` cannot be read: {error}.", field) from None
        if value is None and not needed:
            return None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            missing = value is None and field not in self._fields
            raise RequestError(f"`{field}` is missing." if missing else f"`{field}` must be {name}.", field)
        return value


def _object(body: bytes) -> dict[str, Raw]:
    try:
        if not body.isascii():
            body.decode()
        known = fields(body)
    except ValueError as error:
        raise RequestError(f"The request body must be a JSON object: {error}.") from None
    # Which of two fields with one name counts differs between parsers, so that a policy could be shown the other one.
    # Writing the fields again never makes a body longer: the same length means that none was given twice.
    if len(dump(known)) != len(body) and (twice := _twice(body)):
        raise RequestError(f"`{twice}` is given more than once.", twice)
    return known


def _twice(body: bytes) -> str:
    """A name that the outermost object has twice, empty if there is none."""
    outermost: list[tuple[str, Any]] = []

    def keep(pairs: list[tuple[str, Any]]) -> None:
        outermost[:] = pairs

    json.loads(body, object_pairs_hook=keep)
    names = [name for name, _ in outermost]
    return next((name for name in names if names.count(name) > 1), "") if len(set(names)) < len(names) else ""


def _same(before: Raw | None, after: Raw | None) -> bool:
    return before is not None and after is not None and bytes(before) == bytes(after)


def _is_there(raw: Raw | None) -> bool:
    return raw is not None and bytes(raw) not in (b"null", b'""', b"[]")
