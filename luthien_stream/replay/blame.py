"""Which policy made the difference between what the model said and what was delivered.

Each stage's lane is on record, so a change is a stage's. Inside a stage it is found by running the call with the first
policy alone, then the first two, and so on: a change belongs to the policy with which it comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from msgspec.structs import replace

from luthien_stream.errors import LuthienError
from luthien_stream.events.log import RequestReleased, VerdictReached
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.record.changes import Changed, changes
from luthien_stream.record.lanes import Record
from luthien_stream.record.speech import Speech, speech
from luthien_stream.replay.again import Candidate, Options, compare
from luthien_stream.replay.feed import NotWhole, edge_of, request_of
from luthien_stream.replay.installed import Installed, NotInstalled
from luthien_stream.replay.outcome import recorded_side
from luthien_stream.replay.result import Change, Comparison

SKIPPING = Options(on_miss="skip", twice=False)


def delivered_changes(record: Record, installed: Installed) -> list[Change]:
    """Return the changes from what the client asked and the model said to what was sent and delivered.

    Raises `NotWhole`.
    """
    request, side = request_of(record), recorded_side(record)
    found: list[Changed] = []
    if side.request is not None and side.request != request.body:
        found.append(Changed("request", *(body.decode(errors="replace") for body in (request.body, side.request))))
    original = _original(record, request.format)
    if side.frames and (original.text or original.thinking or original.tools):
        found += changes(original, side.said)
    elif side.frames and side.request is None:
        found.append(Changed("end", "", f"refused: {side.said.text}"))
    if side.end and side.end != "completed":
        found.append(Changed("end", "", side.end))
    return [Change(*one, by=by) for one, by in zip(found, _blame(record, installed, found), strict=True)]


def _original(record: Record, format: str) -> Speech:
    chunks = [chunk for _, chunk in sorted(record.chunks.get(edge_of(record), {}).items())]
    return speech(format, [(chunk.kind, chunk.frame) for chunk in chunks])


def _blame(record: Record, installed: Installed, found: Sequence[Changed]) -> list[str]:
    """For each change the policy that caused it; several, joined, where that cannot be told."""
    if not found:
        return []
    acted = _acted(record)
    try:
        bound = [one for stage in _stages(record, installed) for one in stage.policies]
    except (NotInstalled, NotWhole):
        return [", ".join(acted)] * len(found)
    blamed: list[list[str]] = [[] for _ in found]
    before: list[Changed] = []
    for upto in range(1, len(bound) + 1):
        made = _with(record, Pipeline(tuple(bound[:upto])))
        if made is None:
            continue
        for number, change in enumerate(found):
            if _value(change, made) != _value(change, before):
                blamed[number].append(bound[upto - 1].name)
        before = made
    return [", ".join(one or acted) for one in blamed]


def _value(change: Changed, made: Sequence[Changed]) -> set[str]:
    """What is made of the same thing in another run: of a tool call whether it is the same, else how it reads."""
    if change.what in ("tool_removed", "tool_changed"):
        return {f"{one.what} {one.after}" for one in made if one.before == change.before}
    return {one.after for one in made if one.what == change.what}


def _with(record: Record, pipeline: Pipeline) -> list[Changed] | None:
    """What differs with so many policies, None where they cannot be run."""
    try:
        made: Comparison = compare(record, Candidate(pipeline), SKIPPING)
    except LuthienError:
        return None
    if made.status not in ("same", "differs"):
        return None
    request = request_of(record)
    found = changes(_original(record, request.format), made.candidate.said)
    if made.candidate.request is not None and made.candidate.request != request.body:
        found.append(Changed("request", "", made.candidate.request.decode(errors="replace")))
    if made.candidate.end != "completed":
        found.append(Changed("end", "", made.candidate.end))
    return found


def _stages(record: Record, installed: Installed) -> list[Pipeline]:
    stages = [installed.find(hop.stage, record) for hop in request_of(record).slip.hops]
    if not all(isinstance(stage, Pipeline) for stage in stages):
        raise NotInstalled("A stage of the call is not ours")
    return [cast("Pipeline", replace(stage)) for stage in stages]


def _acted(record: Record) -> list[str]:
    """The policies that decided to change something, in order; else all that a stage which wrote is made of."""
    speaker = request_of(record).slip.speaker
    said = [s.event for s in record.events if s.src == speaker and isinstance(s.event, VerdictReached)]
    acted = [event.policy for event in said if event.kind not in ("allow", "score")]
    if acted:
        return list(dict.fromkeys(acted))
    wrote = any(chunk.origin == -1 for chunk in record.chunks.get(speaker, {}).values())
    sent = any(s.src == speaker and isinstance(s.event, RequestReleased) and s.event.changed for s in record.events)
    key = speaker.removeprefix("stage:")
    return [name for name, _ in record.policies.get(key, [])] if wrote or sent else []
