"""The provider's answer onto the log: as it came, or made into the client's format, with its own words beside it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from luthien_stream.config.model import FormatName
from luthien_stream.core.lens import Violation
from luthien_stream.core.sse import Splitter
from luthien_stream.edge.call import Call
from luthien_stream.edge.failure import PROVIDER_ERROR
from luthien_stream.edge.head import Head
from luthien_stream.edge.wire import streamed
from luthien_stream.events import log
from luthien_stream.formats.convert import Conversion
from luthien_stream.upstream.port import Answer, UpstreamCut, UpstreamProtocol

BODY_BYTES = 64 << 20
"""Bytes that an answer that is not streamed may have."""
_ENDS: Mapping[FormatName, tuple[bytes, ...]] = {
    "anthropic_messages": (b'"message_stop"', b"event: error", b'"type":"error"', b'"type": "error"'),
    "openai_responses": (
        *(b'"response.%b"' % end for end in (b"completed", b"incomplete", b"failed")),
        b"event: error",
        b'"type":"error"',
        b'"type": "error"',
        b'"error":{',
        b'"error": {',
    ),
    "openai_chat": (b"[DONE]", b'"finish_reason":"', b'"finish_reason": "', b'"error":', b'"error" :'),
}
"""What the end of a whole stream has in it; without, it was cut, however politely the connection was closed."""
_LAST_FRAMES = 3


async def relay(call: Call, answer: Answer, conversion: Conversion | None) -> log.Terminal:
    """Give the call the answer that it is to have. Raises `UpstreamError`; nobody else is asked after that."""
    frames = answer.status < 400 and streamed(answer.headers)
    call.start(Head(answer.status, tuple(answer.headers), frames))
    if not frames:
        return await _relay_body(call, answer, conversion)
    return await (_convert_frames(call, answer, conversion) if conversion else _relay_frames(call, answer))


async def _relay_frames(call: Call, answer: Answer) -> log.Terminal:
    splitter, last = Splitter(), [b""]
    async for data in answer.chunks():
        frames = splitter.feed(data)
        if frames:
            call.took(frames)
            last = [*last, *frames][-_LAST_FRAMES:]
            await call.room()
    rest = splitter.rest()
    if rest:
        call.took((rest,), "rest")
    ended = b"".join((*last, rest))
    if not call.asked.plain and not any(mark in ended for mark in _ENDS[call.asked.format]):
        raise UpstreamCut("The provider ended its answer in the middle")
    return log.ResponseCompleted(call=call.id, lane="original")


async def _convert_frames(call: Call, answer: Answer, conversion: Conversion) -> log.Terminal:
    splitter, transcoder = Splitter(), conversion.stream()
    async for data in answer.chunks():
        came = splitter.feed(data)
        if came:
            call.keep_own(came)
            made = [frame for raw in came for frame in transcoder.frame(raw)]
            if made:
                call.took(made)
            await call.room()
    rest = splitter.rest()
    if rest:
        call.keep_own([rest], "rest")
    made = transcoder.close(rest)
    if made:
        call.took(made)
    _note(call, [*conversion.notes(), *transcoder.notes()])
    if not transcoder.ended:
        raise UpstreamCut("The provider ended its answer in the middle")
    return log.ResponseCompleted(call=call.id, lane="original")


async def _relay_body(call: Call, answer: Answer, conversion: Conversion | None) -> log.Terminal:
    body = await _whole(answer)
    if answer.status < 400 and not call.asked.plain and not _is_json(body):
        raise UpstreamProtocol("The provider's answer is no JSON")
    if conversion is not None:
        call.keep_own([body], "body")
        body = conversion.error(answer.status, body, call.id) if answer.status >= 400 else conversion.body(body)
        _note(call, conversion.notes())
    call.took((body,), "body")
    if answer.status >= 400:
        message = f"The provider answered with status {answer.status}"
        return log.ResponseFailed(
            call=call.id, lane="original", error=PROVIDER_ERROR, message=message, status=answer.status
        )
    return log.ResponseCompleted(call=call.id, lane="original")


async def _whole(answer: Answer) -> bytes:
    parts, size = [], 0
    async for data in answer.chunks():
        parts.append(data)
        size += len(data)
        if size > BODY_BYTES:
            raise UpstreamProtocol(f"The provider's answer is over {BODY_BYTES >> 20} MB")
    return b"".join(parts)


def _note(call: Call, notes: list[Violation]) -> None:
    """What was left out of the request, or could not be said in the client's format."""
    for note in notes:
        call.lines.notes.put(log.ProtocolViolated(call=call.id, rule=note.rule, message=note.message, by="conversion"))


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except msgspec.MsgspecError:
        return False
    return True
