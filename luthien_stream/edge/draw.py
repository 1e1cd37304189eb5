"""A draw: a model's answer that a policy has asked for. A call of its own on record, whose client is a stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from luthien_stream.edge.asked import Asked
from luthien_stream.edge.call import Call
from luthien_stream.edge.delivery import Delivery
from luthien_stream.edge.failure import Failure
from luthien_stream.edge.head import Head, Kind
from luthien_stream.edge.line import Line, Lines
from luthien_stream.errors import ClientError
from luthien_stream.events import log
from luthien_stream.events.log import Slip, Terminal

DRAW_BYTES = 8 << 20
"""Bytes of one draw, at most."""
TOO_LARGE = Failure("too_large", f"The model's answer is over {DRAW_BYTES >> 20} MB", 502)
LATE = Failure("timeout", "The model's answer did not come in time", 504)
UNWANTED = Failure("unwanted", "The call that it was for has ended", 503)
_SAID = {"deadline": "timeout", "unauthenticated": "no_credential"}
"""How a stage is told what went wrong, where the record has another word."""


class NoCredential(ClientError):
    """No key is configured for the provider of this model, and the call's own credential is not meant for it."""

    status = 401
    error: ClassVar[str] = "no_credential"


class Nobody(Delivery):
    """The client's end of a call that has no client."""

    def __init__(self) -> None:
        self.bytes = 0
        self.wrote_at = 0.0

    def unsent(self) -> int:
        """Nothing waits here."""
        return 0

    def withdraw(self) -> None:
        """There is nothing to take back."""

    def abort(self) -> None:
        """There is nothing to close."""


class Draw(Call):
    """What the provider says goes to the record and, as inputs of the call that the draw is for, to its stage."""

    gone = True

    def __init__(self, id: str, asked: Asked, lines: Lines, stage: Line, *, deadline: int, inbox_from: str) -> None:
        """`stage` is the line of that call to its stage, from the source `sample:<key>`."""
        super().__init__(id, asked, Slip(), lines, Nobody(), deadline=deadline, inbox_from=inbox_from)
        self._stage = stage

    def start(self, head: Head) -> None:
        """The provider has answered with its status."""
        super().start(head)
        started = log.ResponseStarted(call=self._stage.call, status=head.status, streamed=head.streamed)
        started.headers = self.asked.vault.mask_headers(head.headers)
        started.provider, started.model = self.route.name, self.route.model
        self._stage.put(started)

    def took(self, frames: Sequence[bytes], kind: Kind = "frame") -> None:
        """Frames came from the provider."""
        if self.over:
            return
        frames = [self.asked.vault.mask_answer(frame) for frame in frames]
        super().took(frames, kind)
        self.last = self.line.n - 1
        self.delivery.bytes += sum(map(len, frames))
        if self.delivery.bytes > DRAW_BYTES:
            self.abandon(TOO_LARGE)
        else:
            self._stage.put_chunks(frames, kind)

    async def room(self) -> None:
        """Wait until the log has caught up."""
        await super().room()
        await self._stage.outbox.room()

    def finish(self, terminal: Terminal) -> None:
        """The answer has ended, well or not."""
        if not self.over:
            super().finish(terminal)
            if self.failure is None:
                self._stage.put(log.ResponseCompleted(call=self._stage.call, lane="original"))
            else:
                self._stage.put(failed(self._stage.call, self.failure.error, self.failure.message, self.failure.status))

    def abandon(self, why: Failure) -> None:
        """End the draw from here."""
        if not self.over:
            super().abandon(why)
            self._stage.put(failed(self._stage.call, why.error, why.message, why.status))

    def close(self) -> None:
        """Write the last words to the record: who asked for it got what there was."""
        self.gone = False
        super().close()


def failed(call: str, error: str, message: str, status: int) -> log.ResponseFailed:
    """What a stage is told of a draw that failed."""
    error = _SAID.get(error, error.removeprefix("upstream_"))
    return log.ResponseFailed(call=call, lane="original", error=error, message=message, status=status)
