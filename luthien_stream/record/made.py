"""Records of calls that no gateway recorded: a request and an answer from elsewhere, as if relayed."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Literal

from luthien_stream.events.log import RequestReceived, ResponseCompleted, ResponseDelivered, ResponseStarted, Slip
from luthien_stream.record.lanes import Record, StoredChunk, StoredEvent

EDGE = "import"
STEP_US = 20_000
"""Between two frames whose times nobody knows: fifty a second."""


def call_id(time: int, *names: object) -> str:
    """Return an id that the same names always have: a UUIDv7 of `time` (microseconds since 1970)."""
    digits = sha256("\0".join(map(str, names)).encode()).hexdigest()
    made = f"{time // 1000:012x}7{digits[:3]}{'89ab'[int(digits[3], 16) % 4]}{digits[4:19]}"
    return f"{made[:8]}-{made[8:12]}-{made[12:16]}-{made[16:20]}-{made[20:]}"


def made_record(
    id: str,
    time: int,
    format: str,
    body: bytes,
    frames: Sequence[bytes],
    *,
    model: str = "",
    session: str = "",
    streamed: bool = True,
    user: str = "",
    provider: str = "",
    extra: dict[str, Any] | None = None,
    step: int = STEP_US,
    path: str = "",
) -> Record:
    """Return a call whose answer went to the client as it came. Times in microseconds since 1970."""
    ref = sha256(body).hexdigest()
    kind: Literal["frame", "body"] = "frame" if streamed else "body"
    opened = RequestReceived(
        call=id, n=0, time=time, edge=EDGE, slip=Slip(), format=format, path=path or PATHS.get(format, "/"),
        body_ref=ref, body_size=len(body), model=model, streamed=streamed, session=session, user=user, client="import",
    )  # fmt: skip
    opened.extra = extra or {}
    begun = ResponseStarted(call=id, n=1, time=time + step, status=200, provider=provider, model=model)
    begun.streamed = streamed
    chunks = {
        n: StoredChunk(n, time + n * step, kind, frame, None, _entry(time, n)) for n, frame in enumerate(frames, 2)
    }
    last, end = len(frames) + 2, time + (len(frames) + 2) * step
    done = ResponseCompleted(call=id, n=last, time=end, lane="original")
    size = sum(map(len, frames))
    left = ResponseDelivered(call=id, n=1, time=end, last=last, bytes=size)
    final = ResponseCompleted(call=id, n=0, time=end, lane="final")
    src, own = f"edge:{EDGE}", f"record:{EDGE}"
    events = [
        StoredEvent(src, 0, _entry(time, 0), opened),
        StoredEvent(src, 1, _entry(time, 1), begun),
        StoredEvent(src, last, _entry(time, last), done),
        StoredEvent(own, 0, _entry(time, last + 1), final),
        StoredEvent(own, 1, _entry(time, last + 2), left),
    ]
    return Record(id, events, {src: chunks} if chunks else {}, {ref: body})


PATHS = {
    "anthropic_messages": "/v1/messages",
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
}


def _entry(time: int, n: int) -> int:
    return (time // 1000 << 20) + n
