"""The provider's own error (status 400 and more): it passes as it came, no policy sees it."""

from __future__ import annotations

from collections.abc import Sequence

from luthien_stream.core.program import Want
from luthien_stream.events.log import AnyEvent, ChunkReceived, ChunkReleased, ResponseAborted, ResponseFailed, Terminal
from luthien_stream.policy.response import final


class PassRun:
    """See the module."""

    __slots__ = ("_out", "_status", "over")

    def __init__(self, status: int, out: list[AnyEvent]) -> None:
        self._status, self._out = status, out
        self.over = False

    def chunk(self, event: ChunkReceived) -> None:
        """Release the chunk as it came."""
        self._out.append(ChunkReleased(call=event.call, frame=event.frame, kind=event.kind, of=event.n))

    def note(self, event: AnyEvent) -> None:
        """Pass on what an earlier stage says beside the answer."""
        self._out.append(event)

    def end(self, terminal: Terminal) -> None:
        """Close the lane as the failure that it is."""
        failed = final(terminal)
        if not isinstance(failed, ResponseAborted):
            failed = ResponseFailed(call=terminal.call, lane="final", error="provider_error", status=self._status)
            failed.message = getattr(terminal, "message", "")
        self._out.append(failed)
        self.over = True

    def wants(self) -> Sequence[Want]:
        """Nothing: there are no policies."""
        return ()

    def decided(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""
