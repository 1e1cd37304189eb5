"""What a policy keeps over the calls of a session: a fold. Each call adds deltas; a state is what they come to.

A call reads its session once, when it opens, as an effect; what it adds is written with its end. So calls of a session
that run side by side do not see one another, and a call that is run again sees the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from luthien_stream.core.program import Folded, Want
from luthien_stream.errors import PolicyError
from luthien_stream.policy.effects import failed, is_failure

KEY: Final = "session"
"""Of the effect that reads what is kept."""
READ_S: Final = 10.0
ADDED_BYTES: Final = 256 * 1024
"""What one policy may add to a session in one call."""


class Fold(Struct, frozen=True):
    """`step(state, delta)` gives the next state, beginning with `start`: a pure function of plain values."""

    start: Any
    step: Callable[[Any, Any], Any]


class Session:
    """The session of a call, as one policy sees it."""

    def __init__(self, id: str, name: str = "", fold: Fold | None = None, kept: Any = None) -> None:
        """`kept` is what was read for this policy: `base`, `state`, `deltas`; a failure; None for nothing."""
        self.id = id
        """The agent run that the call belongs to, empty where unknown."""
        self._name, self._fold, self._kept = name, fold, kept
        self._state: bytes | None = None
        self._added: list[Any] = []
        self._size = 0

    @property
    def state(self) -> Any:
        """What earlier calls came to, as it was when this call began; `start` where there were none.

        Raises `EffectFailed` where it could not be read. What it returns may be changed freely.
        """
        fold = self._declared()
        if self._state is None:
            self._state = msgspec.msgpack.encode(self._run(fold))
        return msgspec.msgpack.decode(self._state)

    def add(self, delta: Any) -> None:
        """Add a delta (a plain value), for later calls to see. A preflight, and an answer only drawn, adds nothing.

        Raises `PolicyError` where a call adds more than 256 KiB.
        """
        self._declared()
        packed = msgspec.msgpack.encode(delta)
        self._size += len(packed)
        if self._size > ADDED_BYTES:
            raise PolicyError(f"adds more than {ADDED_BYTES >> 10} KiB to its session in one call; add less")
        self._added.append(msgspec.msgpack.decode(packed))

    def folded(self) -> Sequence[Folded]:
        """What is to be written. Where the state cannot be had, what was read is left as it is."""
        if not (self.id and self._added):
            return ()
        try:
            seen, state = self._seen, self.state
        except Exception:  # noqa: BLE001 - the author's own step; what it adds is kept for one that works
            seen, state = 0, None
        return [Folded(self.id, self._name, delta, seen, state) for delta in self._added]

    @property
    def _seen(self) -> int:
        return self._kept["base"] + len(self._kept["deltas"]) if self._kept else 0

    def _declared(self) -> Fold:
        if self._fold is None:
            raise PolicyError("uses the state of its session; declare a `fold`")
        return self._fold

    def _run(self, fold: Fold) -> Any:
        kept = self._kept
        if is_failure(kept):
            raise failed(KEY, kept["error"], kept.get("message", ""))
        if not kept:
            return fold.start
        state = kept["state"] if kept["base"] else fold.start
        for delta in kept["deltas"]:
            state = fold.step(state, delta)
        return state


class Sessions:
    """The session of a call, for all policies that have a fold: by index, name and fold."""

    def __init__(self, id: str, folds: Mapping[int, tuple[str, Fold]], results: Mapping[str, Any]) -> None:
        self._id, self._folds, self._results = id, folds, results
        self._open: dict[int, Session] = {}

    def want(self) -> Want | None:
        """The effect to wait for before any policy runs, None where nothing is kept."""
        if not (self._id and self._folds):
            return None
        names = sorted({name for name, _ in self._folds.values()})
        return Want(KEY, KEY, {"session": self._id, "names": names}, READ_S)

    def of(self, index: int) -> Session:
        """The session of one policy, the same in both phases."""
        if index not in self._open:
            self._open[index] = self.apart(index)
        return self._open[index]

    def apart(self, index: int) -> Session:
        """The same to read; what is added to it goes nowhere."""
        name, fold = self._folds.get(index, ("", None))
        found = self._results.get(KEY)
        kept = found if is_failure(found) else (found or {}).get(name)
        return Session(self._id, name, fold, kept)

    def folded(self) -> Sequence[Folded]:
        """What the call adds, policies in order."""
        return [one for index in sorted(self._open) for one in self._open[index].folded()]
