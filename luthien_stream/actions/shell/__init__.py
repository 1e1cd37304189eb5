"""What a shell text would run: `commands(text)` gives every simple command in it, unwrapped."""

from luthien_stream.actions.shell.model import UNKNOWN, Command, Redirect, Stream, Word
from luthien_stream.actions.shell.read import BOMB, commands
from luthien_stream.actions.shell.scan import UnreadableError

__all__ = ["BOMB", "UNKNOWN", "Command", "Redirect", "Stream", "UnreadableError", "Word", "commands"]
