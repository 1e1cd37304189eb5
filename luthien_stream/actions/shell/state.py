"""What a shell would know at a point of the text: variables, functions, files it has written. And the budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import tree_sitter

from luthien_stream.actions.shell.model import Command, Stream
from luthien_stream.actions.shell.scan import Document, UnreadableError

MOST_COMMANDS = 1_000
MOST_TEXTS = 200
MOST_CHARACTERS = 262_144
MOST_STEPS = 4_000
DEEPEST_CALL = 16
LONGEST_VALUE = 32_768
DEEPEST_STATEMENT = 80

VARIABLES = {
    "HOME": "~",
    "PWD": ".",
    "TMPDIR": "/tmp",
    "IFS": " ",
    "SHELL": "/bin/bash",
    "USER": "user",
    "@": "",
    "*": "",
    "#": "0",
    "?": "0",
    "$": "1",
    "0": "bash",
    "-": "",
    "RANDOM": "1",
    "__many": "\x1e\ufffc",
}
"""Values that hold well enough wherever the text runs. `$@` is empty until a function or `sh -c` sets it."""


@dataclass
class State:
    """Grows while a text is read. `exhausted` errors keep the time of a reading bounded."""

    variables: dict[str, str] = field(default_factory=lambda: dict(VARIABLES))
    former: dict[str, list[str]] = field(default_factory=dict)
    origins: dict[str, tuple[Command, ...]] = field(default_factory=dict)
    arrays: dict[str, list[str]] = field(default_factory=dict)
    functions: dict[str, tree_sitter.Node] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    files: dict[str, Stream] = field(default_factory=dict)
    documents: list[Document] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    folder: str = ""
    """The temporary folder that the text has gone to."""
    texts: int = 0
    characters: int = 0
    depth: int = 0
    nested: int = 0
    steps: int = 0

    def set(self, name: str, value: str, origins: tuple[Command, ...] = ()) -> None:
        """Assign a variable; what it held before is remembered, since not every branch runs."""
        if name in self.variables and name not in VARIABLES:
            former = self.former.setdefault(name, [])
            if self.variables[name] not in former and len(former) < 4:
                former.append(self.variables[name])
        self.variables[name] = value
        self.origins[name] = origins

    def positional(self, values: Sequence[str], separator: str) -> dict[str, str]:
        """Set `$1`... and `$@`; return what they were, for `variables.update`."""
        names = ["@", "*", *map(str, range(1, 10))]
        before = {name: self.variables[name] for name in names if name in self.variables}
        for name in names:
            self.variables.pop(name, None)
        self.variables.update({str(at): value for at, value in enumerate(values[:9], 1)})
        self.variables["@"] = self.variables["*"] = separator.join(values)
        return before

    def add(self, command: Command) -> None:
        """Keep a command. Raises `UnreadableError` past the bound."""
        self.commands.append(command)
        if len(self.commands) > MOST_COMMANDS:
            raise UnreadableError(f"the text runs more than {MOST_COMMANDS} commands")

    def count(self, text: str) -> None:
        """Count a text that is about to be parsed. Raises `UnreadableError` past the bound."""
        self.texts += 1
        self.characters += len(text)
        if self.texts > MOST_TEXTS or self.characters > MOST_CHARACTERS:
            raise UnreadableError("the text has too many texts within it")

    def nest(self, by: int) -> None:
        """Go into a statement within another, or out of it. Raises `UnreadableError` past the bound."""
        self.nested += by
        self.steps += by > 0
        if self.steps > MOST_STEPS:
            raise UnreadableError(f"the text has more than {MOST_STEPS} statements to follow")
        if self.nested > DEEPEST_STATEMENT:
            raise UnreadableError(f"statements within statements, deeper than {DEEPEST_STATEMENT}")

    def enter(self) -> None:
        """Go one call deeper. Raises `UnreadableError` past the bound."""
        self.depth += 1
        if self.depth > DEEPEST_CALL:
            raise UnreadableError(f"shells within shells, deeper than {DEEPEST_CALL}")

    def leave(self) -> None:
        """Come back from a call."""
        self.depth -= 1


def bounded(value: str) -> str:
    """The value. Raises `UnreadableError` if it has grown past the bound."""
    if len(value) > LONGEST_VALUE:
        raise UnreadableError(f"a value grows longer than {LONGEST_VALUE} characters")
    return value


def place(path: str) -> str:
    """A path as files of this text are remembered by."""
    return path.removeprefix("./")
