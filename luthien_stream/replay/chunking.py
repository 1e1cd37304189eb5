"""A recorded answer cut otherwise: whole, or at random. What it means stays; what it looks like on the wire is ours."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

from msgspec.structs import replace

from luthien_stream.errors import LuthienError
from luthien_stream.events.answer import ALL, End, Event, Opaque, Text, Thinking, ToolCall
from luthien_stream.formats import LENSES
from luthien_stream.record.lanes import Record, StoredChunk
from luthien_stream.replay.feed import edge_of, request_of
from luthien_stream.upstream.render import STREAMS
from luthien_stream.upstream.script import Answer, Call, Piece, Say, Think

Cut = Callable[[str], tuple[str, ...]]


class CannotCut(LuthienError):
    """The answer has something that cannot be written anew."""


@dataclass(frozen=True)
class Chunking:
    """`recorded`, `whole`, or `random:SEED`."""

    kind: str = "recorded"
    seed: int = 0

    @classmethod
    def read(cls, text: str) -> Chunking:
        """Read a flag's value. Raises `ValueError`."""
        kind, _, seed = text.partition(":")
        if kind not in ("recorded", "whole", "random") or (kind == "random") != bool(seed):
            raise ValueError(f"{text!r} is none of recorded, whole, random:SEED")
        return cls(kind, int(seed or 0))

    def apply(self, record: Record) -> Record:
        """Return the call with its original lane cut so. Raises `CannotCut`, `NotWhole`."""
        src = edge_of(record)
        chunks = [chunk for _, chunk in sorted(record.chunks.get(src, {}).items())]
        if self.kind == "recorded" or not chunks or chunks[0].kind == "body":
            return record
        request = request_of(record)
        decoder = LENSES[request.format].decoder(ALL)
        events = [one for chunk in chunks for one in decoder.frame(chunk.frame) if not isinstance(one, bytes)]
        answer = _answer([*events, *(one for one in decoder.close() if not isinstance(one, bytes))], self._cut(record))
        frames = STREAMS[request.format](replace(answer, model=request.model, key=record.call_id), True)
        return _with_frames(record, src, chunks, frames)

    def _cut(self, record: Record) -> Cut:
        if self.kind == "whole":
            return lambda text: (text,)
        chance = random.Random(f"{self.seed}/{record.call_id}")

        def cut(text: str) -> tuple[str, ...]:
            places = sorted(chance.sample(range(1, len(text)), min(len(text) - 1, chance.randint(0, len(text) // 3))))
            bounds = [0, *places, len(text)] if text else [0, 0]
            return tuple(text[a:b] for a, b in pairwise(bounds))

        return cut


def _answer(events: Iterable[Event], cut: Cut) -> Answer:
    pieces: list[Piece] = []
    texts: list[str] = []
    kind: type[Event] | None = None
    stop = "stop"

    def close() -> None:
        if texts:
            joined = cut("".join(texts))
            pieces.append(Think(joined, "c2lnbmVk") if kind is Thinking else Say(joined))
            texts.clear()

    for event in events:
        if isinstance(event, Text | Thinking):
            if type(event) is not kind:
                close()
            kind = type(event)
            texts.append(event.text)
            continue
        close()
        if isinstance(event, ToolCall):
            pieces.append(Call(event.id, event.name, cut(event.arguments)))
        elif isinstance(event, Opaque):
            raise CannotCut(f"The answer has {event.kind}, which cannot be written anew")
        elif isinstance(event, End):
            stop = event.reason
    close()
    if stop not in ("stop", "length", "tool_calls", "content_filter"):
        raise CannotCut(f"The answer ended with {stop!r}, which cannot be written anew")
    return Answer("", tuple(pieces), stop)  # type: ignore[arg-type]


def _with_frames(record: Record, src: str, chunks: list[StoredChunk], frames: list[bytes]) -> Record:
    """Put frames in place of chunks, at their times as far as there are as many, and move what is behind."""
    first, more = chunks[0].n, len(frames) - len(chunks)
    made = {
        first + i: replace(chunks[min(i, len(chunks) - 1)], n=first + i, frame=frame) for i, frame in enumerate(frames)
    }
    events = [
        replace(s, n=s.n + more, event=replace(s.event, n=s.n + more)) if s.src == src and s.n > chunks[-1].n else s
        for s in record.events
    ]
    return replace(record, events=events, chunks={**record.chunks, src: made})
