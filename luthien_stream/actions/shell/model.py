"""What reading a shell text gives: simple commands, each with its words, its redirections and what is piped into it."""

from __future__ import annotations

from msgspec import Struct

UNKNOWN = "\ufffc"
"""Stands in a word for what only running would tell."""


class Word(Struct, frozen=True):
    """One argument, without its quotes. `many` if it may stand for any number of things: a glob, `$@`."""

    text: str
    many: bool = False

    @property
    def known(self) -> bool:
        """True if nothing in it is left open."""
        return UNKNOWN not in self.text


class Redirect(Struct, frozen=True):
    """A redirection to or from a file: `>`, `>>`, `>|`, `&>`, `<`, `<>`. `output` unless it is of errors only."""

    operator: str
    target: Word
    output: bool = True

    @property
    def writes(self) -> bool:
        """True if the file is written."""
        return ">" in self.operator

    @property
    def truncates(self) -> bool:
        """True if what the file held is gone."""
        return self.writes and self.operator not in {">>", "&>>", "<>"}


class Stream(Struct, frozen=True):
    """What flows into a command: its text where that can be told, and the commands that it comes from.

    `data` is true where a pipe, a document or a file is there to be read.
    """

    text: str | None = None
    sources: tuple[Command, ...] = ()
    data: bool = False


EMPTY = Stream()


class Command(Struct, frozen=True):
    """A simple command as it would be run.

    `via` names the wrappers it was found in, outermost first; `substituted` are commands whose output is in its words.
    """

    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...] = ()
    stdin: Stream = EMPTY
    via: tuple[str, ...] = ()
    assignments: tuple[tuple[str, Word], ...] = ()
    substituted: tuple[Command, ...] = ()
    folder: str = ""
    """Where it runs, if that is known to be a temporary folder."""

    @property
    def program(self) -> str:
        """The program's name without its folder; with `UNKNOWN` in it where that is open, empty without one."""
        return self.words[0].text.rstrip("/").rpartition("/")[2] if self.words else ""

    @property
    def arguments(self) -> tuple[Word, ...]:
        """The words behind the program."""
        return self.words[1:]

    def __str__(self) -> str:
        text = " ".join(word.text for word in self.words)
        return "".join(c if c.isprintable() else "?" for c in text.replace(UNKNOWN, "…")[:200])
