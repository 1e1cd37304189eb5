"""The response phase of one call: frames are decoded, go through the chain as events, and are framed again.

Everything that comes out passes the chain in order, so the lane is the same however long an effect took.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from luthien_stream.core.lens import Lens
from luthien_stream.core.program import Want
from luthien_stream.errors import PolicyError, UpstreamError
from luthien_stream.events.answer import ALL, End, Event
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    PolicyFailed,
    ProtocolViolated,
    ResponseAborted,
    ResponseCompleted,
    ResponseFailed,
    Terminal,
)
from luthien_stream.policy.chain import Chain
from luthien_stream.policy.context import CallFacts, Shared
from luthien_stream.policy.item import FLUSH, Down, Flush, Item
from luthien_stream.policy.ordinals import Kind, Ordinals
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.stream import HOLD_LIMIT

_BROKEN = {"cut": "upstream_cut", "error": "provider_error"}


class ResponseRun:
    """See the module. Outputs are appended to `out`; `over` after the terminal event."""

    __slots__ = (
        "_begun",
        "_call",
        "_chain",
        "_deaf",
        "_decoder",
        "_end",
        "_framer",
        "_kind",
        "_late",
        "_late_bytes",
        "_n",
        "_name",
        "_ordinals",
        "_out",
        "_push",
        "_raw",
        "_rest",
        "_shared",
        "over",
    )

    def __init__(
        self,
        lens: Lens,
        pipeline: Pipeline,
        call: CallFacts,
        shared: Shared,
        out: list[AnyEvent],
        streamed: bool,
    ) -> None:
        self._call, self._name, self._shared = call.id, pipeline.name, shared
        self._decoder = lens.decoder(pipeline.sees) if streamed else lens.body_decoder()
        self._framer = lens.framer(self._decoder) if streamed else lens.body_framer(self._decoder)
        self._chain = Chain(pipeline, call, shared, self._write)
        self._push: Down = self._chain.push
        self._begun = False
        self._deaf = False
        """What still comes in is not for this call."""
        self._end: End | None = None
        self._raw, self._n = b"", -1
        """The chunk in hand, while it has not left."""
        self._kind: Kind = "frame"
        self._rest = b""
        self._ordinals = Ordinals()
        self._late: deque[AnyEvent] = deque()
        """What came while the policies wait for an effect."""
        self._late_bytes = 0
        self._out = out
        self.over = False

    def wants(self) -> Sequence[Want]:
        """The effects that policies wait for."""
        return self._chain.wants()

    def chunk(self, event: ChunkReceived) -> None:
        """Take one chunk of the provider's answer."""
        if not self._shared.waiting:
            self._chunk(event)
        elif not self.over:
            self._late.append(event)
            self._late_bytes += len(event.frame)
            if self._late_bytes > HOLD_LIMIT:
                self._lose(PolicyError("They waited for an effect while the model said more than 8 MiB"))

    def _chunk(self, event: ChunkReceived) -> None:
        if self._deaf:
            return
        if self._n >= 0:
            self._ordinals.keep(self._raw, (self._n, self._kind))
        self._raw, self._n, self._kind = event.frame, event.n, event.kind
        self._shared.at = event.n
        self._shared.now = self._shared.clock = event.time
        if event.kind == "rest":
            self._rest = event.frame
            return
        try:
            items = self._decoder.frame(event.frame)
        except UpstreamError as error:
            self._distrust(error)
        else:
            self._give(items)
        self._settle()

    def note(self, event: AnyEvent) -> None:
        """Pass on what an earlier stage says beside the answer."""
        if self._shared.waiting:
            self._late.append(event)
        else:
            self._drain()
            self._out.append(event)

    def end(self, terminal: Terminal) -> None:
        """The provider's answer is over, one way or another."""
        if self._shared.waiting:
            self._late.append(terminal)
        else:
            self._over(terminal)

    def _over(self, terminal: Terminal) -> None:
        if self._deaf:
            return
        self._deaf = True
        self._shared.at = terminal.n
        if terminal.time:
            self._shared.now = self._shared.clock = terminal.time
        try:
            items = self._decoder.close(self._rest)
        except UpstreamError as error:
            self._distrust(error)
        else:
            self._give(items)
            self._push(final(terminal))
        self._settle()

    def decided(self) -> None:
        """Go on where an effect has its result, then with what came meanwhile.

        That is not even decoded before: clock, token counts and the provider's own end are what they are where the
        policies stand, however long the effect took.
        """
        self._chain.decided()
        self._drain()
        while self._late and not self._shared.waiting:
            event = self._late.popleft()
            self._late_bytes -= len(getattr(event, "frame", b""))
            if isinstance(event, ChunkReceived):
                self._chunk(event)
            elif isinstance(event, Terminal):
                self._over(event)
            else:
                self.note(event)

    def close(self) -> None:
        """Let go of the policies."""
        self._chain.close()

    def _give(self, items: Sequence[bytes | Event]) -> None:
        for item in items:
            if not self._begun and type(item) is not bytes:
                self._begin(item)
            self._push(item)

    def _begin(self, item: bytes | Event) -> None:
        """Start the policies, now that it is known what answer they are in; an answer that never began has none."""
        self._begun = True
        if self._decoder.head is None and type(item) is End:
            self._push = self._write
            return
        self._chain.start()

    def _settle(self) -> None:
        """All that the frame in hand can give now is given: write what is only partly through."""
        if self._shared.waiting:
            self._push(FLUSH)
        elif not self.over:
            self._framer.flush()
        self._drain()

    def _write(self, item: Item) -> None:
        """Take what comes out of the chain."""
        if self.over:
            return
        kind = type(item)
        try:
            if kind in ALL:
                if kind is End:
                    self._end = item  # type: ignore[assignment]
                    self._bill(item)  # type: ignore[arg-type]
                self._framer.write(item)  # type: ignore[arg-type]
            elif kind is bytes:
                self._framer.mute(item)  # type: ignore[arg-type]
            elif kind is Flush:
                self._framer.flush()
            elif isinstance(item, ResponseCompleted | ResponseFailed | ResponseAborted):
                self._finish(item)
            else:
                self._drain()
                self._out.append(item)  # type: ignore[arg-type]
        except PolicyError as error:
            self._lose(error)

    def _bill(self, end: End) -> None:
        """Token counts are those of the answer that is delivered, not what an author says."""
        if any(end.usage is usage for usage in self._shared.bills):
            self._decoder.switch(end.usage or None)

    def _finish(self, terminal: Terminal) -> None:
        """Close the lane. An answer that was cut or is an error has no good end, whatever policies made of it."""
        end = self._end
        if end is None:
            self._framer.flush()
        else:
            self._framer.finish()
        if isinstance(terminal, ResponseCompleted):
            reason = end.reason if end is not None else "cut"
            terminal.reason, terminal.usage = reason, self._decoder.usage
            if reason in _BROKEN:
                message = end.error if end is not None and end.error else "The answer ended before its end"
                terminal = ResponseFailed(call=self._call, lane="final", error=_BROKEN[reason], message=message)
        self._drain()
        self._note()
        self._out.append(terminal)
        self.over = self._deaf = True

    def _drain(self) -> None:
        """Put out what the framer has written; most often that is the frame in hand, as it came."""
        if self.over:
            return
        frames = self._framer.take()
        if len(frames) == 1 and frames[0] is self._raw and self._n >= 0:
            self._out.append(ChunkReleased(call=self._call, frame=self._raw, kind=self._kind, of=self._n))
            self._n = -1
            return
        for frame in frames:
            self._release(frame)
        self._note()

    def _note(self) -> None:
        """Put out what the framer has to say about what it was given."""
        for note in self._framer.notes():
            self._out.append(ProtocolViolated(call=self._call, rule=note.rule, message=note.message, by="framer"))

    def _release(self, frame: bytes) -> None:
        of, kind = self._n, self._kind
        if frame is self._raw and of >= 0:
            self._n = -1
        else:
            of, kind = self._ordinals.take(frame) or (-1, "body" if kind == "body" else "frame")
        self._out.append(ChunkReleased(call=self._call, frame=frame, kind=kind, of=of))

    def _distrust(self, error: UpstreamError) -> None:
        """The provider's frame cannot be read: nothing behind it leaves."""
        self._deaf = True
        self._push(ProtocolViolated(call=self._call, rule="grammar", message=str(error), by="provider", at=self._n))
        self._push(ResponseFailed(call=self._call, lane="final", error="upstream_protocol", message=str(error)))

    def _lose(self, error: PolicyError) -> None:
        """What the policies put out cannot be framed: the last line of defence, always closed."""
        kind, message = type(error).__name__, str(error)
        self._out.append(PolicyFailed(call=self._call, policy=self._name, error=kind, message=message))
        text = f"The policies {self._name} failed: {message}"
        self._out.append(ResponseFailed(call=self._call, lane="final", error="policy_failed", message=text))
        self.over = self._deaf = True


def final(terminal: Terminal) -> Terminal:
    """The same end for the final lane, to be passed on behind everything that came before it."""
    match terminal:
        case ResponseCompleted():
            return ResponseCompleted(call=terminal.call, lane="final")
        case ResponseAborted():
            return ResponseAborted(call=terminal.call, lane="final", reason=terminal.reason, by=terminal.by)
        case ResponseFailed():
            made = ResponseFailed(call=terminal.call, lane="final", error=terminal.error, status=terminal.status)
            made.message = terminal.message
            return made
