"""The calls of one owned partition, in memory: entries go in, a turn comes out. No IO; the owner does that.

Everything here follows from the log, but for what is decided: effects adopted, calls cut. Nothing is decided before the
log has been read up to its end as of the acquisition (`rebuilt`), since the decision may already be there.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from luthien_stream.bus import keys
from luthien_stream.bus.ids import order
from luthien_stream.bus.port import START, Open
from luthien_stream.core.accept import opens
from luthien_stream.core.program import Program, Want
from luthien_stream.core.stagecall import Doom, StageCall
from luthien_stream.events.log import AnyEvent, ChunkSeen, RequestReceived, RequestReleased, Slip
from luthien_stream.events.slip import watches
from luthien_stream.worker.asking import Answered
from luthien_stream.worker.stall import Watch
from luthien_stream.worker.turn import Turn, said_beside

log = structlog.get_logger()


class OpenCall(StageCall):
    """A call with what its partition keeps of it."""

    __slots__ = ("bodies_named", "deadline", "edge", "first", "heard", "known", "route", "told")

    def __init__(self, id: str, program: Program, opened: Open) -> None:
        super().__init__(id, program, floor=opened.released, digest=opened.digest)
        self.first = opened.first
        self.edge = opened.edge
        self.deadline = opened.deadline
        self.route = keys.inbox(opened.edge)
        """Where its outputs go."""
        self.bodies_named: set[str] = set()
        """SHA-256 (hex) of stored bodies that a takeover reads again."""
        self.known = False
        """The server has it among its open calls."""
        self.heard = 0
        """When its last input was taken, microseconds since 1970."""
        self.told = 0
        """Inputs that the edge has credit for."""

    def name_body(self, event: RequestReceived | RequestReleased) -> None:
        """Take notice of the body that an input names."""
        if event.body_ref:
            self.bodies_named.add(event.body_ref)

    def as_open(self) -> Open:
        """Return what the server keeps."""
        if self.n > self.floor:
            return Open(self.first, self.n, self.digest, self.edge, self.deadline)
        return Open(self.first, self.released, self.released_digest, self.edge, self.deadline)


class Partition:
    """See the module. `now` gives microseconds since 1970."""

    def __init__(
        self,
        stage: str,
        number: int,
        make: Callable[[], Program],
        now: Callable[[], int],
        watch: Watch,
        seen_every: int,
    ) -> None:
        self.stage = stage
        self.key = keys.partition(stage, number)
        self.src = f"stage:{stage}"
        self._beside = watches(self.src)
        self.calls: dict[str, OpenCall] = {}
        self.closed: dict[str, int] = {}
        """Calls closed of late, with when."""
        self.rebuilt = False
        self.wanted: list[tuple[str, Want]] = []
        """Effects to perform, for the owner to take."""
        self.answered: list[Answered] = []
        """Questions to people that were decided, for the owner to take."""
        self.notes: list[AnyEvent] = []
        """Events for the partition's own stream."""
        self._credit_due = False
        self._asked: set[tuple[str, str]] = set()
        self._make = make
        self._now = now
        self._watch = watch
        self._seen_every = seen_every
        self._touched: dict[str, OpenCall] = {}
        self._barred: dict[str, tuple[tuple[int, int], Doom]] = {}

    # reading
    def resume(self, opened: Mapping[str, Open], closed: Mapping[str, int]) -> None:
        """Take over what an earlier owner had open."""
        now = self._now()
        self.closed = dict.fromkeys(closed, now)
        for id, value in opened.items():
            call = self.calls[id] = OpenCall(id, self._make(), value)
            call.heard, call.known = now, True

    def bar(self, id: str, entry: str, doom: Doom) -> None:
        """Feed nothing of a call from `entry` on, and end it."""
        self._barred.setdefault(id, (order(entry), doom))

    def take(self, entry: str, src: str, events: Sequence[AnyEvent], *, known_only: bool = False) -> None:
        """Feed one entry; `known_only`: it opens no call, an earlier owner has read it."""
        for event in events:
            if type(event) is RequestReceived:
                self._arrive(entry, src, event, known_only)
        now, calls, touched, watch = self._now(), self.calls, self._touched, self._watch
        for event in events:
            call = calls.get(event.call)
            if call is None or (self._barred and self._is_barred(call, entry)):
                continue
            watch.running = (self.key, call.id, entry)
            if type(event) is RequestReleased:
                call.name_body(event)
            try:
                if call.feed(src, event, now):
                    call.heard = now
                    touched[call.id] = call
            except Exception as error:  # noqa: BLE001 - a program's fault costs its own call only
                self._broke(call, error)
        watch.running = None

    def _arrive(self, entry: str, src: str, event: RequestReceived, known_only: bool) -> None:
        call = self.calls.get(event.call)
        if call is None:
            if known_only or event.call in self.closed or not opens(event, order(entry)[0]):
                return
            call = self.calls[event.call] = OpenCall(
                event.call, self._make(), Open(entry, 0, 0, event.edge, event.deadline)
            )
            call.heard = self._now()
            self._touched[call.id] = call
        call.route = route(event.slip, self.stage, event.edge)
        call.name_body(event)

    def expects(self, event: RequestReceived | RequestReleased, *, known_only: bool) -> bool:
        """Whether `take` would use this request, so that its body is worth fetching."""
        return event.call in self.calls or not (known_only or event.call in self.closed)

    def _is_barred(self, call: OpenCall, entry: str) -> bool:
        barred = self._barred.get(call.id)
        if barred is None or order(entry) < barred[0]:
            return False
        self.doom(call, barred[1])
        return True

    def _broke(self, call: OpenCall, error: Exception) -> None:
        at = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{at.filename}:{at.lineno}"
        log.error("program_broke", call=call.id, partition=self.key, error=type(error).__name__, where=where)
        call.doom = Doom("worker_error", f"The call could not be processed ({type(error).__name__})", gently=False)
        self._touched[call.id] = call

    # deciding
    def doom(self, call: OpenCall, doom: Doom) -> None:
        """End a call as soon as that may be decided."""
        call.doom = call.doom or doom
        self._touched[call.id] = call

    def adopt(self, id: str, want: Want, value: Any) -> bool:
        """Record and use the result of an effect; False if nobody waits for it any more."""
        call = self.calls.get(id)
        if call is None or all(wanted.key != want.key for wanted in call.wants()):
            return False
        if want.kind == "ask":
            self.answered.append((id, call.edge, want, value))
        self._watch.running = (self.key, id, START)
        try:
            call.decide(want, value, self.stage, self._now())
        except Exception as error:  # noqa: BLE001 - a program's fault costs its own call only
            self._broke(call, error)
        self._watch.running = None
        self._touched[id] = call
        return True

    def finish_rebuild(self) -> None:
        """The log has been read up to its end as of the acquisition: from here on things are decided."""
        self.rebuilt = True
        now = self._now()
        for call in self.calls.values():
            call.end_if_short(now)
            call.heard = now
        self._touched.update(self.calls)

    def _decide(self, call: OpenCall) -> None:
        if call.doom is not None:
            self._cut(call, call.doom)
        again = True
        while again:
            again = False
            for want in call.wants():
                answer = call.answer(want)
                if answer is not None:
                    self.adopt(call.id, want, answer)
                    again = True
                elif (call.id, want.key) not in self._asked:
                    self._asked.add((call.id, want.key))
                    self.wanted.append((call.id, want))
            if call.doom is not None:
                self._cut(call, call.doom)
        call.end_if_short(self._now())

    def _cut(self, call: OpenCall, doom: Doom) -> None:
        now = self._now()
        self._watch.running = (self.key, call.id, START)
        try:
            call.cut(doom, self.stage, now)
        except Exception as error:  # noqa: BLE001 - a program's fault costs its own call only
            self._broke(call, error)
            call.end(doom.reason, doom.message, self.stage, now)
        self._watch.running = None

    # what comes out
    @property
    def touched(self) -> bool:
        """Something has happened since the last turn."""
        return bool(self._touched)

    def turn(self) -> Turn:
        """Return what has happened since the last turn."""
        turn = Turn()
        turn.effects, self.notes = self.notes, []
        touched = self._touched
        if self.rebuilt:
            for call in list(touched.values()):
                self._decide(call)
        self._touched = {}
        for call in touched.values():
            self._collect(call, turn)
        self._credit_due = False
        return turn

    def _collect(self, call: OpenCall, turn: Turn) -> None:
        if call.bodies:
            turn.bodies += call.bodies
            call.bodies = []
        if call.records:
            turn.effects += call.records
            call.records = []
        seen = call.intake.count
        enough = self._seen_every // 4 if call.outputs else self._seen_every
        if seen > call.told and (self._credit_due or seen - call.told >= enough) and not call.intake.chained:
            call.told = seen
            turn.put(keys.inbox(call.edge), [ChunkSeen(call=call.id, upto=seen, time=self._now())])
        if call.outputs:
            turn.put(call.route, said_beside(call.outputs) if self._beside else call.outputs)
            call.outputs = []
        elif call.known and not call.done:
            return
        call.known = True
        if call.done:
            del self.calls[call.id]
            self._asked = {key for key in self._asked if key[0] != call.id}
            self.closed[call.id] = self._now()
            turn.closed.append(call.id)
            turn.folds += call.program.folds()
        else:
            turn.open[call.id] = call.as_open()

    def credit_silent(self) -> bool:
        """Have the next turn give the credit that is owed, most often to silent calls; False if none is."""
        owed = [call for call in self.calls.values() if call.intake.count > call.told and not call.intake.chained]
        self._touched.update((call.id, call) for call in owed)
        self._credit_due = bool(owed)
        return self._credit_due

    def forget_closed(self, before: int) -> None:
        """Forget calls closed before this time (microseconds); late copies of their requests are too old to open."""
        self.closed = {id: at for id, at in self.closed.items() if at >= before}


def route(slip: Slip, stage: str, edge: str) -> str:
    """Return the stream for a stage's outputs: the next stage of the call's way, or its edge's inbox."""
    place = slip.place(stage)
    if 0 <= place < len(slip.hops) - 1:
        hop = slip.hops[place + 1]
        return keys.partition_stream(keys.partition(hop.stage, hop.partition))
    return keys.inbox(edge)
