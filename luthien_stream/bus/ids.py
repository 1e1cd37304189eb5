"""Stream entry ids, `<milliseconds>-<sequence>`: their order, and the next one. A string comparison would be wrong."""

from __future__ import annotations


def order(id: str) -> tuple[int, int]:
    """Return what ids are compared by."""
    milliseconds, _, sequence = id.partition("-")
    return int(milliseconds), int(sequence or 0)


def text(order: tuple[int, int]) -> str:
    """Return the id with this order."""
    return f"{order[0]}-{order[1]}"


def following(id: str) -> str:
    """Return the smallest id after `id`."""
    milliseconds, sequence = order(id)
    return f"{milliseconds}-{sequence + 1}"
