"""One round of what a policy waits for: filled in order as results come, given to the policy all at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luthien_stream.core.digest import digest_of
from luthien_stream.core.program import Want
from luthien_stream.errors import Nondeterminism
from luthien_stream.policy.effects import Pull, Token, Wait
from luthien_stream.policy.facts import Shared


class Waiting:
    """See the module."""

    __slots__ = ("_one", "_shared", "_since", "_values", "_waits", "time", "wrong")

    def __init__(self, token: Token, shared: Shared, since: int = 0) -> None:
        """`since` is the time that the policy had got to before, microseconds since 1970."""
        self._since = since
        self._one = not isinstance(token, tuple)
        self._waits: tuple[Wait, ...] = token if isinstance(token, tuple) else (token,)
        self._shared = shared
        self._values: list[Any] = []
        self.time = 0
        """When the last of the results was recorded, microseconds since 1970; 0 where nobody says."""
        self.wrong: Nondeterminism | None = None
        """A result on record is of something else: the policy is not run on."""

    def ready(self) -> bool:
        """Take what has come; True if nothing is missing."""
        results = self._shared.results
        for wait in self._waits[len(self._values) :]:
            if isinstance(wait, Pull):
                got = wait.draw.pull(max(self._since, self.time))
                if got is None:
                    return False
                self.time = max(self.time, wait.draw.time)
                self._values.append(got)
            elif wait.key in results:
                self._check(wait)
                self._values.append(results[wait.key])
            else:
                return False
        return True

    @property
    def value(self) -> Any:
        """What goes to the policy, once it is ready."""
        return self._values[0] if self._one else tuple(self._values)

    def wants(self) -> Sequence[Want]:
        """The effects whose results are missing."""
        results = self._shared.results
        return [wait for wait in self._waits if isinstance(wait, Want) and wait.key not in results]

    def _check(self, want: Want) -> None:
        of, time = self._shared.records.get(want.key, ("", 0))
        self.time = max(self.time, time)
        if of and of != digest_of(want.kind, want.args):
            *_, phase, number = ["", "", *want.key.split("/")]
            where = f"effect {number} of its {phase} phase" if phase else f"the effect {number}"
            self.wrong = Nondeterminism(f"asked for another {want.kind} than the one on record as {where}")
