"""Rows of consecutive chunks, as the store keeps them, to single chunks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from luthien_stream.record.lanes import StoredChunk

_KINDS = {"f": "frame", "r": "rest", "b": "body"}


def chunks_of(runs: Iterable[Mapping[str, Any]]) -> dict[str, dict[int, StoredChunk]]:
    """Return single chunks by source and ordinal; where runs overlap, the lowest entry is the true one."""
    lowest: dict[tuple[str, int], int] = {}
    chunks: dict[str, dict[int, StoredChunk]] = {}
    for run in runs:
        starts = [0, *run["ends"]]
        for i, entry in enumerate(run["entries"]):
            src, n = run["src"], run["first_n"] + i
            if entry < lowest.get((src, n), entry + 1):
                lowest[src, n] = entry
                origin = None if run["origins"] is None else run["origins"][i]
                frame = run["frames"][starts[i] : starts[i + 1]]
                kind: Any = _KINDS[run["kinds"][i]]
                chunks.setdefault(src, {})[n] = StoredChunk(n, run["times"][i], kind, frame, origin, entry)
    return chunks
