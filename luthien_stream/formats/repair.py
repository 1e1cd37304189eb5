"""The stop reason that fits what was written, in both formats."""

from __future__ import annotations

from luthien_stream.events.answer import End, StopReason


def repaired(event: End, written: int, theirs: int) -> StopReason:
    """The reason for this end after `written` calls. The provider, who made `theirs`, may have its own misfit."""
    own = event.part is not None and not event.edited
    if event.reason == "tool_calls" and not written and not (own and not theirs):
        return "stop"
    if event.reason == "stop" and written and not (own and theirs):
        return "tool_calls"
    return event.reason
