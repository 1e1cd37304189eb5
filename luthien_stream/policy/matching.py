"""Which policies take part in a call: by the facts of its request, so that edge and worker come to the same."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Protocol

from luthien_stream.config.model import Globs, Match


class Facts(Protocol):
    """What is known of a call when it opens; `RequestReceived` has it."""

    @property
    def model(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def session(self) -> str: ...


def fits(globs: Globs, text: str) -> bool:
    """Say whether any of the globs fits."""
    return globs == "*" or any(fnmatchcase(text, glob) for glob in ((globs,) if isinstance(globs, str) else globs))


def takes_part(match: Match, call: Facts) -> bool:
    """Say whether a policy takes part in a call."""
    return (
        fits(match.model, call.model)
        and fits(match.key, call.key)
        and fits(match.user, call.user)
        and fits(match.session, call.session)
    )
