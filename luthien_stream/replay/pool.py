"""Results of effects that are on record, for policies that ask again: found by who asks, and what for, never by place.

A question that differs in anything is not on record; nothing is reused for another one.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable, Iterator, Sequence
from hashlib import sha256
from typing import Any

from msgspec import Struct

from luthien_stream.core.digest import digest_of
from luthien_stream.core.program import SAMPLE, Want
from luthien_stream.events.log import AnyEvent, CallHeld, EffectRecorded, SampleRequested
from luthien_stream.record.lanes import Record
from luthien_stream.replay.feed import event_of, with_body


class Result(Struct, frozen=True):
    """What came of an effect. `after`: how long it took, microseconds."""

    after: int
    value: Any = None
    inputs: Sequence[AnyEvent] = ()
    """Of an answer that a model gave: what the edge wrote, with its own times; then there is no value."""
    began: int = 0
    """When the answer was asked for, for the times of `inputs`."""


class Pool:
    """The results that one record has, each of them used once, in their order."""

    def __init__(self, record: Record) -> None:
        self._results: dict[Hashable, deque[Result]] = defaultdict(deque)
        self._names = {f"stage:{key}": [name for name, _ in named] for key, named in record.policies.items()}
        asked = {(s.src, s.event.key): s.event for s in record.events if isinstance(s.event, SampleRequested)}
        held = {(s.src, s.event.key): s.event for s in record.events if isinstance(s.event, CallHeld)}
        for (_, key), sample in asked.items():
            question = with_body(sample, record)
            inputs = list(_answer(record, f"{SAMPLE}{key}"))
            result = Result((inputs[-1].time if inputs else sample.time) - sample.time, None, inputs, sample.time)
            self._results[question_of(question)].append(result)  # type: ignore[arg-type]
        for stored in sorted(record.events, key=lambda one: one.entry):
            effect = stored.event
            if isinstance(effect, EffectRecorded) and effect.kind not in ("sample", "cut"):
                began = _began(record, stored.entry, held.get((stored.src, effect.key)))
                policy = self._policy(stored.src, effect.key)
                for name in {policy, ""}:
                    about = _of(name, effect, held.get((stored.src, effect.key)))
                    self._results[about].append(Result(max(0, effect.time - began), effect.value))

    def take(self, want: Want, policy: str) -> Result | None:
        """The next result of what `policy` asks for, None if there is none on record."""
        for name in (policy, ""):
            if found := self._results.get(_wanted(name, want)):
                return found.popleft()
        return None

    def answer(self, requested: SampleRequested) -> Result | None:
        """The next answer of a model to this question, None if there is none on record."""
        found = self._results.get(question_of(requested))
        return found.popleft() if found else None

    def _policy(self, src: str, key: str) -> str:
        names, index = self._names.get(src, []), key.split("/")[0]
        return names[int(index)] if index.isdigit() and int(index) < len(names) else ""


def question_of(asked: SampleRequested) -> Hashable:
    """What makes a question to a model the same one."""
    return (asked.policy, asked.why, asked.model, asked.format, sha256(asked.body).hexdigest())


def _of(policy: str, effect: EffectRecorded, held: CallHeld | None) -> Hashable:
    if effect.kind == "ask" and held is not None:
        return (policy, "ask", held.subject.get("tool"), held.subject.get("arguments"))
    return (policy, effect.kind, effect.of)


def _wanted(policy: str, want: Want) -> Hashable:
    if want.kind == "ask" and isinstance(want.args, dict):
        subject = want.args.get("subject", {})
        return (policy, "ask", subject.get("tool"), subject.get("arguments"))
    return (policy, want.kind, digest_of(want.kind, want.args))


def _began(record: Record, entry: int, held: CallHeld | None) -> int:
    """When an effect was asked for: as its own event says, else when the last thing before it came in."""
    if held is not None:
        return held.time
    before = [s.event.time for s in record.events if s.entry < entry and s.n >= 0]
    before += [c.time for chunks in record.chunks.values() for c in chunks.values() if c.entry < entry]
    return max(before, default=0)


def _answer(record: Record, src: str) -> Iterator[AnyEvent]:
    found = {stored.n: stored.event for stored in record.events if stored.src == src and stored.n >= 0}
    found |= {n: event_of(record, chunk) for n, chunk in record.chunks.get(src, {}).items()}
    yield from (event for _, event in sorted(found.items()))
