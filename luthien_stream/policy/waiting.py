"""One round of what a policy waits for: filled in order as results come, given to the policy all at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luthien_stream.core.digest import digest_of
from luthien_stream.core.program import Want
from luthien_stream.errors import Nondeterminism
from luthien_stream.policy.effects import Token
from luthien_stream.policy.facts import Shared


class Waiting:
    """See the module."""

    __slots__ = ("_one", "_shared", "_values", "_waits", "time", "wrong")

    def __init__(self, token: Token, shared: Shared) -> None:
        self._one = not isinstance(token, tuple)
        self._waits: tuple[Want, ...] = token if isinstance(token, tuple) else (token,)
        self._shared = shared
        self._values: list[Any] = []
        self.time = 0
        """When the last of the results was recorded, microseconds since 1970; 0 where nobody says."""
        self.wrong: Nondeterminism | None = None
        """A result on record is of something else: the policy is not run on."""

    def ready(self) -> bool:
        """Take what has come; True if nothing is missing."""
        results = self._shared.results
        for want in self._waits[len(self._values) :]:
            if want.key not in results:
                return False
            self._check(want)
            self._values.append(results[want.key])
        return True

    @property
    def value(self) -> Any:
        """What goes to the policy, once it is ready."""
        return self._values[0] if self._one else tuple(self._values)

    def wants(self) -> Sequence[Want]:
        """The effects whose results are missing."""
        return [want for want in self._waits if want.key not in self._shared.results]

    def _check(self, want: Want) -> None:
        of, time = self._shared.records.get(want.key, ("", 0))
        self.time = max(self.time, time)
        if of and of != digest_of(want.kind, want.args):
            *_, phase, number = want.key.split("/")
            what = f"another {want.kind} than the one on record"
            self.wrong = Nondeterminism(f"asked for {what} as effect {number} of its {phase} phase")
