"""A good end for an answer that is stopped in the middle, made of what its client has: agents repeat what breaks off.

What the client has is in the log. The format's own framer goes over it and says what has to follow. Within a tool call
or a thought there is no good end; then the client is told of an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from luthien_stream.bus import keys
from luthien_stream.bus.port import Bus
from luthien_stream.core.lens import Lens
from luthien_stream.edge.call import Call
from luthien_stream.edge.directory import Known
from luthien_stream.edge.lane import Lane
from luthien_stream.errors import BusError, LuthienError
from luthien_stream.events import log
from luthien_stream.events.answer import ALL, End, Text

logger = structlog.get_logger()

READ_S = 2.0
"""How long what the client has may take to be found."""
PAUSE_S = 0.02


async def ending(bus: Bus, edge: str, call: Call) -> list[bytes]:
    """Frames that say that the call was stopped and end its stream well; none where that cannot be."""
    if call.asked.plain or call.failure is None:
        return []
    try:
        async with asyncio.timeout(READ_S):
            given = await _given(bus, edge, call)
        return closing(call.asked.lens, given, call.failure.message)
    except (TimeoutError, BusError) as error:
        logger.warning("stopped_answer_not_found", call=call.id, error=type(error).__name__)
    except LuthienError as error:
        logger.warning("stopped_answer_not_closed", call=call.id, error=type(error).__name__)
    return []


async def _given(bus: Bus, edge: str, call: Call) -> list[bytes]:
    """The frames that the client was given; the last of them may still be on their way into the log."""
    stream, position = keys.inbox(edge), call.inbox_from
    lane = Lane(Known(call.id, edge, position, "", call.asked.format))
    frames: list[bytes] = []
    last = -1
    while last < call.last:
        entries = await bus.range(stream, position)
        for piece in lane.take(entries):
            if isinstance(piece, log.ChunkReceived | log.ChunkReleased) and piece.n <= call.last:
                frames.append(piece.frame)
                last = piece.n
        if entries:
            position = entries[-1].id
        else:
            await asyncio.sleep(PAUSE_S)
    return frames


def closing(lens: Lens, given: Sequence[bytes], text: str) -> list[bytes]:
    """Frames that follow those that were given, say `text` and end the answer; none within a tool call or a thought.

    Raises what the format raises for frames that it cannot read.
    """
    decoder = lens.decoder(ALL)
    framer = lens.framer(decoder)
    written: list[bytes] = []
    for raw in given:
        for item in decoder.frame(raw):
            if isinstance(item, bytes):
                framer.mute(item)
            else:
                framer.write(item)
        written += framer.take()
    if written != list(given):
        return []
    framer.write(Text(("\n\n" if given else "") + text))
    framer.write(End("stop"))
    framer.finish()
    return framer.take()
