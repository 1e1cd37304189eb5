"""Deny shell commands that destroy: files, history, containers, clouds, databases, rights, the machine, the gateway.

A command is read, not searched: text about commands is no command, and a command is one however it is wrapped, quoted,
encoded or piped into a shell. What is denied stands as data in `shell_guard.toml`, and can be given as `rules`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

from luthien_stream.actions.known_tools import texts, unwrapped
from luthien_stream.actions.shell import UNKNOWN, Command, UnreadableError, Word, commands
from luthien_stream.actions.shell.rules import Rule, Rules
from luthien_stream.policy import Allow, Context, Deny, Hold, ToolCall, ToolGate, Verdict

Category = Literal[
    "files", "git", "containers", "cloud", "databases", "packages", "permissions", "system", "network", "own", "windows"
]


@cache
def _shipped() -> Rules:
    return msgspec.convert(tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")), Rules)


class ShellGuard(ToolGate):
    """`allow` and `deny` are globs: of a rule's name, or of a whole command. `paths`: globs with nothing to lose.

    `on_unknown` is for programs that only running tells (`$TOOL x`); what looks like a deletion there is denied anyway.
    """

    on_unknown: Literal["allow", "hold", "deny"] = "allow"
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    categories: tuple[Category, ...] = ()
    paths: tuple[str, ...] = ()
    shown: str = "A policy blocked this command."
    rules: Rules = msgspec.field(default_factory=_shipped)

    async def check(self, call: ToolCall, ctx: Context) -> Verdict:
        """Deny the call if any command in it breaks a rule, or cannot be read."""
        try:
            run = list(_commands(call))
            reason = self._broken(run)
        except UnreadableError as error:
            return Deny(f"unreadable: {error}", self.shown)
        if reason:
            return Deny(reason, self.shown)
        unknown = next((command for command in run if _is_unknown(command)), None)
        if unknown is None or self.on_unknown == "allow":
            return Allow()
        reason = f"unknown program: {unknown}"
        return Deny(reason, self.shown) if self.on_unknown == "deny" else Hold(reason, self.shown)

    def _broken(self, run: list[Command]) -> str:
        """The first rule that is broken, and by what; empty for none."""
        for command in run:
            if self.deny and any(fnmatchcase(str(command), glob) for glob in self.deny):
                return f"deny: {command}"
            for rule in self.rules.matches(command, self.paths):
                if self._counts(rule, command):
                    within = f", in {' '.join(command.via)}" if command.via else ""
                    return f"{rule.name}: {command.program or 'redirection'} {rule.why}: {command}{within}"
            if _is_unknown(command) and _looks_deleting(command):
                return f"unknown-deleting: {command}"
        return ""

    def _counts(self, rule: Rule, command: Command) -> bool:
        if self.categories and rule.category not in self.categories:
            return False
        return not any(fnmatchcase(rule.name, glob) or fnmatchcase(str(command), glob) for glob in self.allow)


def _commands(call: ToolCall) -> Iterator[Command]:
    """Every command that a call would run. Raises `UnreadableError`."""
    windows = any(re.search(r"(?i)powershell|pwsh|cmd$", one.name) for one in unwrapped(call))
    for text in texts(call, "shell"):
        if windows:
            yield Command((Word("powershell"), Word(_unquoted(text))))
        yield from commands(text)
    for text in texts(call, "code"):
        yield from commands(text, "python")


def _unquoted(text: str) -> str:
    """A text for PowerShell without its quoted parts, unless it evaluates them."""
    if re.search(r"(?i)\b(?:iex|invoke-expression|cmd|-command|-c|pwsh|powershell)\b", text):
        return text
    return re.sub(r"\"[^\"]*\"|'[^']*'", '""', text)


def _is_unknown(command: Command) -> bool:
    return bool(command.words) and not command.words[0].text.replace(UNKNOWN, "").strip("/")


def _looks_deleting(command: Command) -> bool:
    """True for `$x -rf ...`."""
    return any(re.fullmatch(r"-(?=\w*[rR])(?=\w*f)\w{2,4}|--no-preserve-root", word.text) for word in command.arguments)
