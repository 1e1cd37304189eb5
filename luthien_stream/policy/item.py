"""What goes down a chain of policies, in order."""

from __future__ import annotations

from collections.abc import Callable

from luthien_stream.events.answer import Event
from luthien_stream.events.log import LogEvent


class Flush:
    """Passes the chain behind the events of one frame: what of the frame is not through by then goes alone."""


FLUSH = Flush()
Item = Event | bytes | LogEvent | Flush
"""An event, a frame that no policy sees, a record such as a verdict, or a `Flush`."""
Down = Callable[[Item], None]
