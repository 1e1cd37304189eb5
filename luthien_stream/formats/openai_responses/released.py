"""What of an answer has left: its items, in the positions that the client sees."""

from __future__ import annotations


class Released:
    """The items of one answer."""

    def __init__(self) -> None:
        self._items: dict[int, bytes] = {}
        self._begun = 0
        self._last = -1
        self.changed = False
        """True if one of them is not the provider's own."""

    def begin(self, given: int = -1, order: int = -1) -> int:
        """The position of the next item: the one that the provider gave to its `order`th, if none is missing before."""
        position = given if order == self._begun and given > self._last else self._last + 1
        self._begun, self._last = self._begun + 1, position
        return position

    def end(self, position: int, item: bytes, changed: bool = False) -> None:
        """An item is whole."""
        self._items[position] = item
        self.changed = self.changed or changed

    @property
    def items(self) -> list[bytes]:
        """All items that are whole, in order."""
        return [item for _, item in sorted(self._items.items())]
