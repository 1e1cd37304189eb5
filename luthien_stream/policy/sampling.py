"""`ctx.sample`: another answer of a model, as events that come while the model speaks."""

from __future__ import annotations

from collections.abc import Awaitable
from hashlib import sha256
from typing import Final

from luthien_stream.core.lens import Request
from luthien_stream.core.program import Want
from luthien_stream.errors import PolicyError
from luthien_stream.events.answer import Event, Text, ToolCall
from luthien_stream.events.log import SampleRequested
from luthien_stream.policy.effects import next_of
from luthien_stream.policy.facts import Draw
from luthien_stream.policy.stream import Events

SAMPLE_S: Final = 600.0
"""How long a model may take for a whole answer, unless the policy says otherwise, seconds."""
GO_ON = (
    "Your answer was cut off where the text above ends. Go on exactly there: do not repeat anything, do not begin "
    "again, and do not mention the interruption."
)


class Sample(Events):
    """The events of a drawn answer, `End` last. Reading one that failed raises `EffectFailed`."""

    __slots__ = ("_draw", "draws")

    def __init__(self, draw: Draw, draws: tuple[Sample, ...] = ()) -> None:
        self._draw = draw
        self.draws: tuple[Sample, ...] = draws or (self,)
        """All that were asked for at once; this is the first of them."""

    def __anext__(self) -> Awaitable[Event]:
        return next_of(self._draw)


class Said:
    """What a policy has put out of an answer."""

    __slots__ = ("called", "texts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.called = False
        """It has put out a tool call."""

    def add(self, event: Event) -> None:
        """Take what it puts out now."""
        if type(event) is Text:
            self.texts.append(event.text)
        elif type(event) is ToolCall:
            self.called = True


def continued(request: Request, said: Said) -> Request:
    """Return the request for an answer that goes on behind what was said: models refuse a turn that is begun for them.

    Raises `PolicyError` where a tool call was put out: nothing can follow that.
    """
    if said.called:
        raise PolicyError("samples behind a tool call that it has put out; sample before, or give `request`")
    text = "".join(said.texts)
    if not text.strip():
        return request
    field = "messages" if request.get("messages") is not None else "input"
    before = request.get(field)
    turns = [{"role": "user", "content": before}] if isinstance(before, str) else list(before or ())
    turns += {"role": "assistant", "content": text.rstrip()}, {"role": "user", "content": GO_ON}
    return request.set(field, turns)


def wanted(requested: SampleRequested, limit_s: float) -> Want:
    """Return the effect that stands for the end of an answer: its result is recorded if that comes too late."""
    asked = {"model": requested.model, "why": requested.why, "deadline": requested.deadline}
    return Want(requested.key, "sample", {**asked, "body": sha256(requested.body).hexdigest()}, limit_s)
