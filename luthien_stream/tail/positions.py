"""Where each stream has been read to, and what was trimmed before it could be read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from luthien_stream.bus.ids import order
from luthien_stream.bus.port import START, Entry, Span
from luthien_stream.tail.place import Resume, tag


class Gap(Struct, frozen=True):
    """Entries of a stream that were trimmed unread: those after one id and before the next that is kept.

    Of a stream that has vanished while nobody looked neither its name nor a number is known: empty and None.
    """

    stream: str
    after: str
    before: str
    """`0-0` if the stream keeps nothing."""
    entries: int | None


class Cursor(Struct):
    """Of one stream."""

    at: str
    """Id of the last entry read."""
    read: int
    """How many entries were ever written up to there."""
    span: Span

    def look(self, span: Span) -> int:
        """Compare with what the stream holds now; return how many entries were trimmed unread.

        Where it stands between kept entries nothing can be said: it is said once it has read to the end.
        """
        self.span = span
        unread = order(self.at) < order(span.last)
        if unread and span.kept and order(self.at) >= order(span.first):
            return 0
        reached = span.trimmed if unread and span.kept else span.added
        missed = reached - self.read
        self.read = reached
        if not unread or not span.kept:
            self.at = span.last
        return max(0, missed)  # less than nothing: the server has forgotten its last moments


class Positions:
    """Of all streams. `past`: begin with the oldest entries kept, else with what comes."""

    def __init__(self, *, past: bool, resume: Resume | None = None) -> None:
        self._past, self._resume = past, resume
        self._cursors: dict[str, Cursor] | None = None
        self.ends: dict[str, str] = {}
        """The last entry of each stream when they were first looked at."""

    @property
    def at(self) -> dict[str, str]:
        """The last entry read, by stream."""
        return {stream: cursor.at for stream, cursor in (self._cursors or {}).items()}

    @property
    def read(self) -> dict[str, int]:
        """How many entries were ever written up to there, by stream."""
        return {stream: cursor.read for stream, cursor in (self._cursors or {}).items()}

    def at_end(self) -> bool:
        """Whether all has been read that was there at the beginning."""
        at = self.at
        return self._cursors is not None and all(
            order(at.get(stream, end)) >= order(end) for stream, end in self.ends.items()
        )

    def look(self, spans: Mapping[str, Span]) -> list[Gap]:
        """Take what all streams hold now; return what is missing."""
        if self._cursors is None:
            return self._begin(spans)
        gaps = [self._gone(stream) for stream in self._cursors.keys() - spans.keys()]
        for stream in spans.keys() - self._cursors.keys():
            self._cursors[stream] = Cursor(START, 0, Span())
        gaps += [self._gap(stream, span) for stream, span in spans.items()]
        return [gap for gap in gaps if gap.entries]

    def is_whole(self, spans: Mapping[str, Span]) -> bool:
        """Whether a page follows on what was read before, by what its streams hold after the reading.

        What has been trimmed behind our place by then may have been trimmed before the reading: the next look tells.
        """
        assert self._cursors is not None
        return all(span.trimmed <= self._cursors[stream].read for stream, span in spans.items())

    def take(self, entries: Sequence[Entry]) -> None:
        """Take note of what was read."""
        assert self._cursors is not None
        for entry in entries:
            cursor = self._cursors[entry.stream]
            cursor.at = entry.id
            cursor.read += 1

    def _begin(self, spans: Mapping[str, Span]) -> list[Gap]:
        self._cursors = {
            stream: Cursor(START, span.trimmed, span) if self._past else Cursor(span.last, span.added, span)
            for stream, span in spans.items()
        }
        self.ends = {stream: span.last for stream, span in spans.items()}
        if self._resume is None:
            return []
        after, resume = f"{self._resume.place.ms}-{self._resume.place.sequence}", self._resume
        missed = {stream: span.trimmed - resume.count(stream) for stream, span in spans.items()}
        gaps = [Gap(stream, after, spans[stream].first, count) for stream, count in missed.items() if count > 0]
        vanished = resume.counts.keys() - {tag(stream) for stream in spans}
        return [*gaps, *(Gap("", after, START, None) for _ in vanished)]

    def _gap(self, stream: str, span: Span) -> Gap:
        assert self._cursors is not None
        cursor = self._cursors[stream]
        after = cursor.at
        return Gap(stream, after, span.first, cursor.look(span))

    def _gone(self, stream: str) -> Gap:
        """A stream that is no more: what it last held beyond where it was read to cannot be read."""
        assert self._cursors is not None
        cursor = self._cursors.pop(stream)
        return Gap(stream, cursor.at, START, max(0, cursor.span.added - cursor.read))
