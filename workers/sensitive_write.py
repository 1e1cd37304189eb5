"""Keep agents from writing what gives power later: keys, hooks, CI, start-up files, system and agents' settings.

It sees files that tools write, patch and move, and those that shell commands write. What is guarded stands as data in
`sensitive_write.toml`. `CLAUDE.md`, `AGENTS.md` and rules in prose are not: people have agents write them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec

from luthien_stream.actions.known_tools import texts
from luthien_stream.actions.own import is_own
from luthien_stream.actions.paths import Globs, spellings
from luthien_stream.actions.running import commands_of
from luthien_stream.actions.shell import UnreadableError
from luthien_stream.actions.written import written, written_by_code
from luthien_stream.policy import Allow, Context, Deny, ToolCall, ToolGate, Verdict

MOST = 5_000
"""Paths of one call that are looked at."""


@cache
def _shipped() -> dict[str, dict[str, list[str]]]:
    file = Path(__file__).with_suffix(".toml")
    return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), dict[str, dict[str, list[str]]])


class SensitiveWrite(ToolGate, dict=True):
    """`protect` and `allow` are further globs: `**` is any depth, without `/` or `~` at the front any folder."""

    protect: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    paths: dict[str, list[str]] = msgspec.field(default_factory=lambda: _shipped()["paths"])
    """The globs that are guarded, by kind; given here, they take the place of all that are shipped."""
    shown: str = "This file is not to be written here."

    def __post_init__(self) -> None:
        self._guarded = Globs([*self.protect, *(glob for kind in self.paths.values() for glob in kind)])
        self._own_words = Globs(self.protect)
        self._left = Globs(self.allow)
        self._examples = Globs(_shipped()["except"]["paths"])

    async def check(self, call: ToolCall, ctx: Context) -> Verdict:
        """Deny a call that writes a guarded file, and one that cannot be read."""
        try:
            for count, path in enumerate(_paths(call)):
                if count == MOST:
                    return Deny(f"more than {MOST} files in one call", self.shown)
                if guarded := self._guard(path):
                    return Deny(f"writes {guarded}", self.shown)
        except UnreadableError as error:
            return Deny(f"unreadable: {error}", self.shown)
        return Allow()

    def _guard(self, path: str) -> str:
        """The glob that guards a path, empty for none."""
        if self.allow and self._left.match(path):
            return ""
        if any(is_own(one) for one in spellings(path)):
            return "the gateway's own files"
        guarded = self._guarded.match(path)
        return guarded if guarded and (self._own_words.match(path) or not self._examples.match(path)) else ""


def _paths(call: ToolCall) -> Iterator[str]:
    yield from texts(call, "write")
    yield from written(commands_of(call))
    for text in texts(call, "code"):
        yield from written_by_code(text)
