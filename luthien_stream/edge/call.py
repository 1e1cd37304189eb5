"""One call that this edge owns: its state between the client, the provider and the log. Nothing here waits.

Two ways lead through it. *Policed*: the provider's frames go to the stage's partition, and what the stage releases
goes to the client. *Relayed*, where no policy sees the answer: the frames go to the client at once and to the edge's
own inbox, for the record. `serve` drives it from the client's side, `provider` from the other, `inbox` brings the
stage's.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from luthien_stream.core.accept import TAKEN, Intake
from luthien_stream.edge import failure
from luthien_stream.edge.asked import Asked
from luthien_stream.edge.auth import proven
from luthien_stream.edge.credit import WINDOW, Credit
from luthien_stream.edge.delivery import Delivery
from luthien_stream.edge.failure import Failure, Left
from luthien_stream.edge.head import Head, Kind
from luthien_stream.edge.line import Lines
from luthien_stream.edge.waits import Waits
from luthien_stream.edge.words import abort, final_words
from luthien_stream.events import log
from luthien_stream.events.log import AnyEvent, Slip, Terminal


class Call:
    """See the module."""

    released: log.RequestReleased | None = None
    head: Head | None = None
    reader: asyncio.Task[None] | None = None
    original_over = False
    whole = False
    """The answer is one body, not a stream of frames."""
    last = -1
    """Ordinal of the last event of the final lane that was given to the client."""
    final: Terminal | None = None
    failure: Failure | None = None
    left: Left = "complete"
    commit_early = False
    """Silence has lasted: status and headers are to go out."""
    farewell: Callable[[], Awaitable[list[bytes]]] | None = None
    """Gives the frames that end well what the client has; for a call that was stopped."""
    outputs = 0
    """Events taken from the stage: progress for the watchdog."""
    answered_at = 0.0
    """When the stage said its first word."""
    gone = False
    """The client has gone, and the call goes on without it."""
    made = False
    """A frame was changed or made: from here on a violation is our own fault."""

    def __init__(
        self, id: str, asked: Asked, slip: Slip, lines: Lines, delivery: Delivery, *, deadline: int, inbox_from: str
    ) -> None:
        """`deadline` is in microseconds since 1970; `inbox_from` is where the edge's inbox stands now."""
        self.id, self.asked, self.slip, self.delivery, self.route = id, asked, slip, delivery, asked.route
        self.deadline, self.inbox_from, self.lines = deadline, inbox_from, lines
        self.line = lines.stage if slip.hops else lines.copies
        """Where the original lane goes."""
        self.relayed = not slip.hops
        """The provider's frames go straight to the client."""
        self.wake = asyncio.Event()
        """Something has happened that the client's side must act on."""
        self.frames: list[bytes] = []
        """What the client is to get and has not been given yet."""
        self.closing: deque[bytes] = deque(maxlen=3)
        """The last frames of the final lane."""
        self.began_at = time.monotonic()
        self.credit, self.waits = Credit(delivery), Waits()
        self._intake, self._checker = Intake(slip.speaker), asked.lens.checker()

    @property
    def cleared(self) -> bool:
        """The request may go to the provider: it was released, or nobody on its way acts on requests."""
        return self.released is not None or not any("request" in hop.phases for hop in self.slip.hops)

    # from the stage
    def offer(self, src: str, event: AnyEvent) -> None:
        """Take an event that came over the inbox."""
        if type(event) is log.ChunkSeen:
            self.outputs += self.credit.see(event.upto)
            return
        if self.over or event.n < 0:
            return
        outcome = self._intake.accept(src, event)
        if outcome == "splice":
            self.abandon(failure.SPLICE)
        if outcome != TAKEN:
            return
        if not self.outputs:
            self.answered_at = time.monotonic()
        self.outputs += 1
        if type(event) is log.ChunkReleased:
            self._take_chunk(event)
        else:
            self._take(event)

    def flush(self) -> None:
        """Give the client what has come."""
        if self.gone:
            self.frames.clear()
        if self.whole or not self.frames:
            return
        if self.delivery.ready:
            self.delivery.write(self.take_frames())
        else:
            self.wake.set()

    def take_frames(self) -> list[bytes]:
        """Hand over what waits for the client, with its own secrets in it again: in an answer that policies judged,
        who saw markers, only the one that its provider has taken for one.
        """
        frames, self.frames = self.frames, []
        if not self.asked.vault.answered:
            return frames
        judged = not self.relayed and self.head is not None and self.head.status < 400
        only = proven(self.route.provider, self.asked.format, self.asked.caller) if judged else None
        return [self.asked.vault.unmask(frame, only) for frame in frames]

    def _take_chunk(self, event: log.ChunkReleased) -> None:
        self.closing.append(event.frame)
        self.waits.held_until = 0
        if event.kind == "body":
            self.whole, self.made = True, event.of < 0
        elif not self._passes(event):
            return
        if self.gone:
            return
        self.frames.append(event.frame)
        self.last = event.n

    def _take(self, event: AnyEvent) -> None:
        match event:
            case log.RequestReleased():
                self.released = event
                self.waits.held_until = 0
                if "response" not in self.slip.hops[0].phases:
                    self.relayed, self.line = True, self.lines.copies
                    self.line.n = self.lines.stage.n
                self.wake.set()
            case log.ResponseCompleted() | log.ResponseFailed() | log.ResponseAborted():
                self.finish(event)
                if self.reader is not None:
                    self.cancel_original("final_lane_ended")
                elif len(self.slip.hops) > 1:
                    self._ask_to_end("final_lane_ended")  # the stages before the one that ended it
            case log.CallHeld() | log.SampleRequested():
                self.waits.take(event)
            case _:
                self.waits.held_until = 0

    def _passes(self, event: log.ChunkReleased) -> bool:
        if event.of < 0:
            self.made = True
        for found in self._checker.frame(event.frame) if event.kind == "frame" else ():
            rule, message, by = found.rule, found.message, "stage" if self.made else "provider"
            self.lines.notes.put(log.ProtocolViolated(call=self.id, rule=rule, message=message, by=by, at=event.n))
            if self.made:
                self.abandon(failure.violation(found.message))
                return False
        return True

    # from the provider
    def start(self, head: Head) -> None:
        """The provider has answered with its status."""
        self.head = head
        if head.streamed:
            self.wake.set()
        self.line.put(
            log.ResponseStarted(
                call=self.id,
                status=head.status,
                headers=self.asked.vault.mask_headers(head.headers),
                provider=self.route.name,
                model=self.route.model,
                streamed=head.streamed,
            ),
            patient=True,
        )

    def took(self, frames: Sequence[bytes], kind: Kind = "frame") -> None:
        """Frames came from the provider."""
        frames = [self.asked.vault.mask_answer(frame) for frame in frames]
        last = self.line.put_chunks(frames, kind)
        if not self.relayed:
            self.credit.sent = last + 1
        elif not self.over:
            self.closing.extend(frames)
            self.whole = kind == "body"
            if not self.gone:
                self.frames += frames
                self.last = last
                self.flush()

    def keep_own(self, frames: Sequence[bytes], kind: Kind = "frame") -> None:
        """Put what the provider said in its own format beside what is made of it."""
        self.lines.own.put_chunks([self.asked.vault.mask_answer(frame) for frame in frames], kind)

    def end_original(self, terminal: Terminal) -> None:
        """The provider's answer has ended, well or not."""
        if self.original_over:
            return
        self.original_over = True
        self.line.put(terminal)
        if self.relayed:
            self.finish(terminal)

    async def room(self) -> None:
        """Wait until the stage, the client and the log have caught up."""
        await self.credit.room()
        await self.line.outbox.room()

    @property
    def unanswered(self) -> int:
        """Events that the stage owes an answer to; few may rightly be silent for long."""
        if self.relayed or self.over:
            return 0
        if self.released is None or self.original_over:
            return WINDOW
        return self.credit.unseen

    # the end
    @property
    def over(self) -> bool:
        """Nothing more will come for the client."""
        return self.final is not None or self.failure is not None

    def finish(self, terminal: Terminal) -> None:
        """The final lane has ended."""
        if self.over:
            return
        self.final, self.failure = terminal, failure.failure_of(terminal)
        self.credit.open = True
        if self.failure is not None:
            self.left = self.failure.left
        self.wake.set()

    def abandon(self, why: Failure) -> None:
        """End the call from here: the stage is asked to end it too, and its outputs are ignored from now on."""
        if self.over:
            return
        self.failure, self.left, self.credit.open = why, why.left, True
        if not self.relayed:
            self._ask_to_end(why.error, why.by)
        if self.reader is not None:
            self.cancel_original(why.error, why.by)
        self.wake.set()

    def _ask_to_end(self, reason: str, by: str = "") -> None:
        """Without an ordinal: a request to each stage, which decides what becomes of it. The first may be done."""
        for outbox in (self.line.outbox, *self.lines.later):
            outbox.put(abort(self.id, reason, self.last, by))

    @property
    def stays(self) -> bool:
        """The call goes on if its client goes away: it was asked to, or somebody is asked about it."""
        return not self.over and (self.asked.on_disconnect != "cancel" or self.waits.held_until > 0)

    def detach(self) -> None:
        """The client has gone, and the call `stays`: for the record, and for a client that comes back."""
        self.gone = True
        self.flush()
        self.wake.set()

    def leave(self, reason: str) -> None:
        """The client has gone."""
        if self.left == "complete":
            self.left = "disconnected"
        self.cancel_original(reason)
        if not self.over:
            self.final = log.ResponseAborted(call=self.id, lane="final", reason=reason)

    def cancel_original(self, why: str, by: str = "") -> None:
        """Stop reading the provider."""
        if self.original_over:
            return
        self.original_over = True
        if self.reader is not None:
            self.reader.cancel()
            self.line.put(log.UpstreamCancelled(call=self.id, why=why))
        self.line.put(log.ResponseAborted(call=self.id, lane="original", reason=why, by=by))

    def close(self) -> None:
        """Write the last words to the record."""
        if self.relayed:
            self.lines.notes.put(final_words(self.id, self.final, self.failure, self.last), patient=True)
        left: Left = "disconnected" if self.gone else self.left
        said = log.ResponseDelivered(call=self.id, last=self.last, bytes=self.delivery.bytes, left=left)
        self.lines.notes.put(said, patient=True)

    def inject(self, frame: bytes, why: str) -> None:
        """Write a frame of the edge's own to the client."""
        self.delivery.write((frame,))
        self.lines.notes.put(log.FrameInjected(call=self.id, frame=frame, why=why, after=self.last + 1))
