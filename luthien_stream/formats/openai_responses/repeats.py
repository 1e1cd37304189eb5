"""What a tool call's frames say again: clients may read any of them, policies see one."""

from __future__ import annotations

from luthien_stream.core.sse import data_of
from luthien_stream.formats.json import parse
from luthien_stream.formats.openai_responses.items import joined, leaves
from luthien_stream.formats.openai_responses.wire import ITEM_DONE, Frame

_CARRIERS = ("name", "arguments", "input", "command", "diff")


class Repeats:
    """The words in the frames of one call, until its item is whole."""

    def __init__(self, added: bytes) -> None:
        """`added` is the item as it began."""
        begun = parse(added)
        self._said = {str(begun[name]) for name in _CARRIERS if isinstance(begun.get(name), str)}
        self._deltas: dict[tuple[str, int], list[str]] = {}

    def add(self, frame: Frame, raw: bytes) -> None:
        """Take a frame between the item's beginning and its end."""
        if isinstance(frame.delta, str):
            self._deltas.setdefault((frame.type, frame.command_index), []).append(frame.delta)
        elif frame.type != ITEM_DONE:
            known = parse(data_of(raw) or b"{}")
            self._said |= {known[name] for name in _CARRIERS if isinstance(known.get(name), str)}

    def agree(self, done: bytes) -> bool:
        """True if all of it is what the whole item says."""
        said = {*self._said, *(joined(pieces) for pieces in self._deltas.values())} - {""}
        return said <= {*leaves(parse(done))}
