"""What the hooks are handed beside what they look at, and what they may hand back."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct, field

from luthien_stream.policy.api import STOPPED, Stop
from luthien_stream.policy.context import CallFacts, Context


class RequestMetadata(CallFacts, frozen=True):
    """What is known of the call."""

    timestamp: int = 0
    """When what the hook looks at came in, microseconds since 1970, UTC."""

    @classmethod
    def at(cls, ctx: Context) -> RequestMetadata:
        """Read it from a policy's context."""
        return cls(**msgspec.structs.asdict(ctx.call), timestamp=ctx.now)

    @property
    def call_id(self) -> str:
        """The call's id."""
        return self.id

    def to_dict(self) -> dict[str, Any]:
        """All of it, by name."""
        return msgspec.structs.asdict(self)


class PolicyResult(Struct):
    """A hook may wrap what it returns: `allowed=False` refuses a request, and stops an answer."""

    value: Any = None
    allowed: bool = True
    reason: str = ""
    shown: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


class StreamAction(StrEnum):
    """What a hook with a queue may return, beside `None`."""

    CONTINUE = "continue"
    ABORT = "abort"
    SWITCH_MODEL = "switch_model"


class StreamControl:
    """What becomes of the stream after the hook: one for a whole answer. `metadata` is the hook's own memory of it."""

    __slots__ = ("_reason", "_shown", "call", "metadata", "model", "should_abort")

    def __init__(self, call: RequestMetadata) -> None:
        self.call = call
        self.metadata: dict[str, Any] = {}
        self.should_abort = False
        self.model = ""
        """The model that goes on, empty for the one that speaks."""
        self._reason, self._shown = "", STOPPED

    def abort(self, reason: str = "", shown: str = STOPPED) -> None:
        """End the answer behind what this hook puts out: `shown` is put there, the log has `reason`."""
        self.should_abort, self._reason, self._shown = True, reason, shown

    def switch_model(self, model: str) -> None:
        """Let another model go on behind what this hook puts out; its chunks come to the hook too."""
        self.model = model

    @property
    def is_acting(self) -> bool:
        """True if the hook ended what the model says, one way or the other."""
        return self.should_abort or bool(self.model)

    def stop(self) -> Stop:
        """The abort as policies say it. An older hook leaves its reason in `metadata["abort_reason"]`."""
        return Stop(self._shown, self._reason or str(self.metadata.get("abort_reason", "")))

    def act(self, action: StreamAction) -> None:
        """Do what a hook with a queue returned; for a switch it names `metadata["model"]`."""
        if action is StreamAction.ABORT:
            self.should_abort = True
        elif action is StreamAction.SWITCH_MODEL:
            self.model = self.model or str(self.metadata.get("model", ""))
            if not self.model:
                raise ValueError("switches without a model; call control.switch_model(model)")


class OutgoingQueue:
    """Takes what a hook puts out, in the words of `asyncio.Queue`; it never waits."""

    __slots__ = ("_chunks",)

    def __init__(self) -> None:
        self._chunks: deque[Mapping[str, Any]] = deque()

    async def put(self, chunk: Mapping[str, Any]) -> None:
        """Put out a chunk."""
        self._chunks.append(chunk)

    def put_nowait(self, chunk: Mapping[str, Any]) -> None:
        """Put out a chunk."""
        self._chunks.append(chunk)

    def empty(self) -> bool:
        """True if nothing was put in since the last `take`."""
        return not self._chunks

    def qsize(self) -> int:
        """How many chunks were put in since the last `take`."""
        return len(self._chunks)

    def take(self) -> list[Mapping[str, Any]]:
        """What was put in; it is gone from here then."""
        taken = list(self._chunks)
        self._chunks.clear()
        return taken
