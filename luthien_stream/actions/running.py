"""Every command that a tool call would run, in a shell or out of code; read once for all the gates that look at it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from luthien_stream.actions.known_tools import texts
from luthien_stream.actions.shell import Command, commands
from luthien_stream.events.answer import ToolCall

KEPT: Final = 8_192
"""Characters of a text that is kept together with its commands; larger ones are read again."""


def commands_of(call: ToolCall) -> Iterator[Command]:
    """The commands of a call, in order. Raises `UnreadableError`."""
    for text in texts(call, "shell"):
        yield from _commands(text, "sh")
    for text in texts(call, "code"):
        yield from _commands(text, "python")


def _commands(text: str, interpreter: str) -> tuple[Command, ...]:
    return _kept(text, interpreter) if len(text) <= KEPT else tuple(commands(text, interpreter))


@lru_cache(maxsize=32)
def _kept(text: str, interpreter: str) -> tuple[Command, ...]:
    return tuple(commands(text, interpreter))
