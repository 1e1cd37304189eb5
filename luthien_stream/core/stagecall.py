"""One call in one stage: what is accepted goes into its program, what comes out is numbered and chained.

A pure function of the log: after a failover the same feed gives the same outputs. Those that were released before
(`floor`) are counted and digested again, not put out again; a run that differs from what was released ends closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any
from zlib import crc32

from luthien_stream.core.accept import CUT, EFFECT, TAKEN, Intake
from luthien_stream.core.call import TABLE, LaneError, State
from luthien_stream.core.digest import EMPTY, chain, digest_of
from luthien_stream.core.doom import Doom as Doom
from luthien_stream.core.program import SAMPLE, Program, Want
from luthien_stream.events.log import (
    AnyEvent,
    ApprovalDecided,
    ChunkReleased,
    EffectRecorded,
    RequestReceived,
    RequestReleased,
    ResponseAborted,
    ResponseFailed,
    SampleRequested,
    Unknown,
)

MAX_BODY = 32 * 1024
"""Larger bodies are stored once by their digest, and events name them."""
_ASKED_HERE = frozenset({"kv", "timer", "session"})
"""Kinds of effects whose question is on record with their result; that of others is an event of its own."""
_WITH_BODY = frozenset({RequestReceived, RequestReleased, SampleRequested})


class StageCall:
    """See the module. `now` is always microseconds since 1970 and only stamps outputs."""

    __slots__ = (
        "_early",
        "_floor_digest",
        "_late",
        "_moves",
        "bodies",
        "digest",
        "doom",
        "floor",
        "id",
        "intake",
        "n",
        "outputs",
        "over",
        "program",
        "records",
        "request",
        "samples",
        "state",
    )

    def __init__(self, id: str, program: Program, *, floor: int = 0, digest: int = EMPTY) -> None:
        """`floor` and `digest`: what an earlier owner released, and its digest."""
        self.id = id
        self.program = program
        self.intake = Intake()
        self.samples: dict[str, Intake] = {}
        """The answers that the program has asked for, by key."""
        self._early: dict[str, EffectRecorded] = {}
        """Records that an answer is late which came before what they say was taken of it."""
        self._late: set[str] = set()
        """Of these the ones that are recorded as too late, and the record has not been read yet."""
        self.floor = floor
        self._floor_digest = digest
        self.n = 0
        self.digest = EMPTY
        self.state = State.OPENED
        self._moves = TABLE[State.OPENED]
        self.over = False
        """Nothing more will be put out; see `done`."""
        self.doom: Doom | None = None
        self.request: RequestReceived | None = None
        self.outputs: list[AnyEvent] = []
        self.bodies: list[tuple[str, bytes]] = []
        """(SHA-256 in hex, body) of outputs that name theirs; to be stored before `outputs` are written."""
        self.records: list[AnyEvent] = []
        """Effects to write in the same settle as `outputs`."""

    @property
    def released(self) -> int:
        """The next ordinal to release."""
        return max(self.n, self.floor)

    @property
    def released_digest(self) -> int:
        """Digest of everything below `released`."""
        return self.digest if self.n > self.floor else self._floor_digest

    @property
    def done(self) -> bool:
        """The call may be closed: its lane has ended where it was released to."""
        return self.over and (self.n > self.floor or (self._is_same_run() and self.state is not State.ENDED))

    def feed(self, src: str, event: AnyEvent, now: int) -> bool:
        """Take an event from the log; return True if it changed something. Raises what the program raises."""
        outcome = self.intake.accept(src, event)
        if self.over or (self.doom is not None and not self.doom.gently):
            return False
        if outcome == TAKEN:
            if type(event) is RequestReceived:
                self.request = event
            self.program.feed(event)
            self._advance(now)
        elif outcome == EFFECT and type(event) is EffectRecorded:
            if event.key != CUT:
                self._use(event, now)
        elif outcome == "foreign" and src.startswith(SAMPLE):
            return self._sampled(src, event, now)
        elif outcome == "splice":
            self.doom = self.doom or Doom("digest", "The stage before released two runs; the call cannot go on")
        elif type(event) is ResponseAborted and outcome == "candidate":
            self.doom = self.doom or Doom(event.reason, "The edge has ended the call", by=event.by)
        else:
            return outcome == "candidate"
        return True

    def _sampled(self, src: str, event: AnyEvent, now: int) -> bool:
        """Take an input of an answer that the program has asked for; behind the record that it is late, none."""
        key = src.removeprefix(SAMPLE)
        intake, late = self.samples.get(key), self._early.get(key)
        if intake is None or (key in self.intake.effects and late is None) or intake.accept(src, event) != TAKEN:
            return False
        self.program.feed(event, src)
        self._advance(now)
        if late is not None:
            self._use(late, now)
        return True

    def _use(self, effect: EffectRecorded, now: int) -> None:
        """Hand in a recorded result. That an answer is late is said of what was taken of it by then: a server that
        forgot both may have been told again in another order."""
        sample = self.samples.get(effect.key)
        after = effect.value.get("after", 0) if isinstance(effect.value, dict) else 0
        if sample is not None and not sample.over and sample.count < after:
            self._early[effect.key] = effect
            return
        self._early.pop(effect.key, None)
        self.program.decide(effect.key, effect.value, effect.of, effect.time)
        self._advance(now)

    def wants(self) -> Sequence[Want]:
        """The effects that the program waits for and nobody has recorded."""
        wants = () if self.over else self.program.wants()
        return [w for w in wants if w.key not in self.intake.effects and w.key not in self._late] if wants else ()

    def answer(self, want: Want) -> Any:
        """Return what a person answered to `want`, None if nobody has. An answer to something else is none."""
        asked = want.args.get("digest", "") if isinstance(want.args, dict) else ""
        candidates = self.intake.candidates
        found = candidates.get((want.key, asked)) or candidates.get((want.key, ""))
        if not isinstance(found, ApprovalDecided):
            return None
        return {"decision": found.decision, "by": found.by, "args": found.args}

    def decide(self, want: Want, value: Any, stage: str, now: int) -> None:
        """Adopt the result of an effect: the first one is recorded, every later one is ignored."""
        if self.over or want.key in self.intake.effects:
            return
        of = digest_of(want.kind, want.args)
        if want.key in self.samples:
            self._record_late(want, value, of, stage, now)
            return
        self.intake.effects[want.key] = value
        effect = EffectRecorded(call=self.id, time=now, key=want.key, kind=want.kind, value=value, stage=stage, of=of)
        effect.asked = want.args if want.kind in _ASKED_HERE else None
        self.records.append(effect)
        self.program.decide(want.key, value, of, now)
        self._advance(now)

    def _record_late(self, want: Want, value: Any, of: str, stage: str, now: int) -> None:
        """Record that an answer comes too late. It counts where the record lies in the log, once that is read: what
        was taken before it was used, and every run has to use as much. `after` says how much that is at least."""
        taken = self.samples[want.key]
        if taken.over or want.key in self._late:
            return
        self._late.add(want.key)
        event = EffectRecorded(call=self.id, time=now, key=want.key, kind=want.kind, stage=stage, of=of)
        event.value = {**value, "after": taken.count}
        self.records.append(event)

    def cut(self, doom: Doom, stage: str, now: int) -> None:
        """End the call now and record it. Raises what the program raises; `end` needs no program."""
        if self.over:
            return
        gently = doom.gently and not self._is_short()
        self._record_cut(doom, stage, now, gently=gently)
        if not gently:
            self._terminate(doom.reason, doom.message, now)
            return
        self._put(_in_the_name_of(doom.by, self.program.cut(doom.reason, doom.message)), now)
        if not self.over:
            self._terminate(doom.reason, doom.message, now)

    def end(self, reason: str, message: str, stage: str, now: int) -> None:
        """End the call with nothing but its terminal event, where the lane is."""
        if not self.done:
            self._record_cut(Doom(reason, message), stage, now, gently=False)
            self._terminate(reason, message, now)

    def end_if_short(self, now: int) -> None:
        """Once the log of an earlier owner has been read: a run that ends before what was released is another run."""
        if self.over and not self.done:
            self._terminate("nondeterminism", "The call, run again, ended before what was released of it", now)

    def _advance(self, now: int) -> None:
        program = self.program
        self._put(program.advance(), now)
        if program.over and not self.over:
            if self.state is not State.RELEASED:
                raise LaneError(f"The program is over and left its lane {self.state.value}")
            self.over = True

    def _put(self, events: Sequence[AnyEvent], now: int) -> None:
        """Number, chain and keep outputs. The hot way: a chunk costs one pass and its CRC."""
        floor, keep = self.floor, self.outputs.append
        for event in events:
            kind, n, digest = type(event), self.n, self.digest
            state = self._moves.get(kind)
            if state is None:
                raise LaneError(f"{kind.__name__} cannot come in a lane that is {self.state.value}")
            if n == floor and digest != self._floor_digest:
                self._terminate("nondeterminism", "The call, run again, gave something else than was released", now)
                return
            if kind is ChunkReleased:
                self.digest = crc32(event.frame, digest)  # type: ignore[union-attr]
            else:
                if kind in _WITH_BODY:
                    self._check_in(event)  # type: ignore[arg-type]
                if kind is SampleRequested:
                    key = event.key  # type: ignore[union-attr]
                    self.samples.setdefault(key, Intake(f"{SAMPLE}{key}"))
                self.digest = chain(digest, event)
            self.n = n + 1
            if n >= floor:
                self._stamp(event, n, digest, now)
                keep(event)
            if state is not self.state:
                self.state, self._moves = state, TABLE[state]
                if state is State.ENDED:
                    self.over = True
                    return

    def _stamp(self, event: AnyEvent, n: int, digest: int, now: int) -> None:
        if type(event) is Unknown:
            event.fields = {**event.fields, "call": self.id, "n": n, "prev": digest, "time": now}
        else:
            event.call, event.n, event.prev, event.time = self.id, n, digest, now  # type: ignore[misc]

    def _check_in(self, event: RequestReceived | RequestReleased | SampleRequested) -> None:
        """Leave a large body out of the log: the event names it."""
        if not event.body_ref and len(event.body) > MAX_BODY:
            event.body_ref, event.body_size = sha256(event.body).hexdigest(), len(event.body)
            if self.n >= self.floor:
                self.bodies.append((event.body_ref, event.body))
        if event.body_ref:
            event.body = b""

    def _is_same_run(self) -> bool:
        return self.n == self.floor and self.digest == self._floor_digest

    def _is_short(self) -> bool:
        """The log has lost what was released, or the run differs from it."""
        return self.n < self.floor or (self.n == self.floor and self.digest != self._floor_digest)

    def _record_cut(self, doom: Doom, stage: str, now: int, *, gently: bool) -> None:
        """All that it takes to end the call again at the same place: what had been taken and released by then."""
        value = {"at": self.released, "reason": doom.reason, "message": doom.message, "by": doom.by}
        value |= {"inputs": self.intake.count, "gently": gently}
        self.records.append(EffectRecorded(call=self.id, time=now, key=CUT, kind=CUT, value=value, stage=stage))

    def _terminate(self, error: str, message: str, now: int) -> None:
        """Put the terminal event where the released lane ends."""
        if self.n <= self.floor:
            self.n, self.digest = self.floor, self._floor_digest
        event = ResponseFailed(call=self.id, lane="final", error=error, message=message)
        self._stamp(event, self.n, self.digest, now)
        self.outputs.append(event)
        self.digest = chain(self.digest, event)
        self.n += 1
        self.state, self._moves, self.over = State.ENDED, TABLE[State.ENDED], True


def _in_the_name_of(by: str, events: Sequence[AnyEvent]) -> Sequence[AnyEvent]:
    """The end of a lane that a person wanted is no failure."""
    last = events[-1] if by and events else None
    if not isinstance(last, ResponseFailed):
        return events
    end = ResponseAborted(call=last.call, lane=last.lane, reason=last.error, by=by, policies=last.policies)
    return [*events[:-1], end]
