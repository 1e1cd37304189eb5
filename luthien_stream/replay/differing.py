"""In what a candidate's side of a call differs from the recorded one, and through which policy."""

from __future__ import annotations

from collections.abc import Sequence

from luthien_stream.record.changes import changes
from luthien_stream.replay.result import Change, Comparison, Side

OTHER_REQUEST = (
    "the candidate sends another request to the provider: what it makes of the answer is of the recorded one"
)


def note_differences(comparison: Comparison, names: Sequence[str]) -> None:
    """Fill in the changes between the two sides; `names` are the policies that were tried."""
    recorded, candidate = comparison.recorded, comparison.candidate
    by = _by(recorded, candidate) or (names[0] if len(names) == 1 else "")
    found: list[Change] = []
    if recorded.request != candidate.request:
        before, after = ((side.request or b"").decode(errors="replace") for side in (recorded, candidate))
        found.append(Change("request", before, after, by))
    if recorded.request != candidate.request and candidate.request is not None and candidate.frames:
        comparison.notes.append(OTHER_REQUEST)
    if recorded.frames != candidate.frames:
        found += [Change(*one, by=by) for one in changes(recorded.said, candidate.said)]
    if recorded.end != candidate.end:
        found.append(Change("end", recorded.end, candidate.end, by))
    if not found and recorded.frames != candidate.frames:
        found.append(Change("events", f"{len(recorded.frames)} frames", f"{len(candidate.frames)} frames", by))
    comparison.changes = found
    if any(change.what != "events" for change in found):
        comparison.status = "differs"
        comparison.why = f"{', '.join(dict.fromkeys(change.what for change in found))} differ"
        pairs = enumerate(zip(recorded.frames, candidate.frames, strict=False))
        shorter = min(len(recorded.frames), len(candidate.frames))
        comparison.at = next((n for n, (a, b) in pairs if a != b), shorter)


def _by(recorded: Side, candidate: Side) -> str:
    """The policies that decided on one side only."""
    return ", ".join(sorted({policy for policy, _, _ in _acts(recorded) ^ _acts(candidate)}))


def _acts(side: Side) -> set[tuple[str, str, str]]:
    acts = [one for one in side.decisions if not one.shadow and one.kind not in ("allow", "score")]
    return {(one.policy, one.kind, one.about) for one in acts}
