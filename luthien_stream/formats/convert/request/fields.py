"""Reads a client's JSON field by field, so that nothing is overlooked: what no reader asked for is refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from luthien_stream.formats.errors import RequestError

_SHOWN = 60


def unsupported(path: str, what: str = "") -> RequestError:
    """The refusal of a field that the provider's format has no words for; `what` is the value at fault."""
    shown = f"`{path}` ({what[:_SHOWN]})" if what else f"`{path}`"
    return RequestError(
        f"{shown} cannot be carried over: this model's provider speaks another format, which has no words for it. "
        "Leave it out, or choose a model whose provider speaks the format of this request.",
        path,
    )


def must_be(path: str, what: str) -> RequestError:
    """The refusal of a value of the wrong type."""
    return RequestError(f"`{path}` must be {what}.", path)


class Fields:
    """The fields of an object that nobody asked for yet; null counts as absent. All readings raise `RequestError`."""

    def __init__(self, value: Any, path: str = "") -> None:
        if not isinstance(value, dict):
            raise must_be(path or "body", "an object")
        self.path = path
        self._left = {name: said for name, said in value.items() if said is not None}

    def at(self, name: str) -> str:
        """The path of a field, as error messages name it."""
        return f"{self.path}.{name}" if self.path else name

    def take(self, name: str) -> Any:
        """A field's value, None if absent."""
        return self._left.pop(name, None)

    def text(self, name: str) -> str:
        """A string, empty if absent."""
        return self._typed(name, str, "a string") or ""

    def needed(self, name: str) -> str:
        """A string that must be there and say something."""
        found = self.text(name)
        if not found:
            raise must_be(self.at(name), "a string that is not empty")
        return found

    def whole(self, name: str) -> int | None:
        """A whole number."""
        found: int | None = self._typed(name, int, "a whole number")
        return found

    def number(self, name: str) -> float | None:
        """A number."""
        found: float | None = self._typed(name, (int, float), "a number")
        return found

    def flag(self, name: str) -> bool | None:
        """True or false."""
        found = self.take(name)
        if not isinstance(found, bool | None):
            raise must_be(self.at(name), "true or false")
        return found

    def word(self, name: str, words: Sequence[str]) -> str | None:
        """One of these words; another is refused as one without a counterpart."""
        found = self.text(name)
        if found and found not in words:
            raise unsupported(self.at(name), found)
        return found or None

    def mapping(self, name: str) -> dict[str, Any] | None:
        """An object that is carried as it is."""
        found: dict[str, Any] | None = self._typed(name, dict, "an object")
        return found

    def object(self, name: str) -> Self | None:
        """An object to be read in turn."""
        found = self.take(name)
        return None if found is None else type(self)(found, self.at(name))

    def objects(self, name: str) -> list[Self]:
        """An array of objects to be read in turn, empty if absent."""
        found = self._typed(name, list, "an array") or []
        return [type(self)(item, f"{self.at(name)}[{index}]") for index, item in enumerate(found)]

    def texts(self, name: str) -> list[str]:
        """An array of strings; one string counts as an array of one."""
        found = self.take(name)
        listed = [found] if isinstance(found, str) else found or []
        if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
            raise must_be(self.at(name), "an array of strings")
        return listed

    def holds(self, name: str, kind: type) -> bool:
        """True if the field is there and of this type; it is not taken."""
        return isinstance(self._left.get(name), kind)

    def has(self, name: str, value: Any) -> bool:
        """True if the field says this; it is not taken."""
        return bool(self._left.get(name) == value)

    def leave(self, *names: str) -> None:
        """Leave hints out that change nothing of what an answer means."""
        for name in names:
            self._left.pop(name, None)

    def only(self, name: str, *values: Any) -> None:
        """Take a field that may say nothing but these values; any other is refused."""
        found = self._left.pop(name, None)
        if found is not None and not any(found == value for value in values):
            raise unsupported(self.at(name), found if isinstance(found, str) else "")

    def done(self) -> None:
        """Refuse what nobody asked for."""
        for name in self._left:
            raise unsupported(self.at(name))

    def _typed(self, name: str, kind: type | tuple[type, ...], what: str) -> Any:
        found = self.take(name)
        if found is not None and (not isinstance(found, kind) or isinstance(found, bool)):
            raise must_be(self.at(name), what)
        return found
