"""The last look at chat frames before they leave: one role, whole calls, one finish, and nothing behind the end."""

from __future__ import annotations

from collections.abc import Sequence

from luthien_stream.core.lens import Violation
from luthien_stream.core.sse import data_of
from luthien_stream.formats.errors import ProtocolError
from luthien_stream.formats.openai_chat.wire import Choice, Delta, is_done, read


class StreamChecker:
    """Follows one streamed answer frame by frame; it never raises."""

    def __init__(self) -> None:
        self._roles: set[int] = set()
        self._finished: set[int] = set()
        self._calls: set[tuple[int, int]] = set()
        self._over = False

    def frame(self, raw: bytes) -> Sequence[Violation]:
        """Take the next frame; return what is wrong with it."""
        data = data_of(raw)
        if not data:
            return ()
        if is_done(data):
            over, self._over = self._over, True
            return [Violation("after_end", "A second end.")] if over else ()
        try:
            chunk = read(data)
        except ProtocolError as error:
            return [Violation("unreadable", str(error))]
        if self._over:
            return [Violation("after_end", "A chunk after the end.")]
        if chunk.error:
            self._over = True
        found: list[Violation] = []
        for choice in chunk.choices or ():
            if choice.delta is not None:
                self._delta(choice.index, choice.delta, found)
            self._finish(choice, found)
        return found

    def _delta(self, index: int, delta: Delta, found: list[Violation]) -> None:
        if delta.role:
            if index in self._roles:
                found.append(Violation("second_role", "The role is said twice: clients join the two."))
            self._roles.add(index)
        if (delta.content or delta.tool_calls) and index in self._finished:
            found.append(Violation("after_finish", "Content after the finish."))
        for piece in delta.tool_calls or ():
            key = (index, piece.index or 0)
            if key not in self._calls and not (piece.function or piece.custom):
                found.append(Violation("nameless_call", "A call begins without its name."))
            self._calls.add(key)

    def _finish(self, choice: Choice, found: list[Violation]) -> None:
        if choice.finish_reason:
            if choice.index in self._finished:
                found.append(Violation("second_finish", "A second finish."))
            self._finished.add(choice.index)
