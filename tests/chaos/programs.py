"""The two stages of the simulated calls, and what an undisturbed run of them gives."""

from __future__ import annotations

from collections.abc import Sequence

from luthien_stream.core.program import Program, Want
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    Hop,
    RequestReceived,
    RequestReleased,
    ResponseCompleted,
    ResponseFailed,
    ResponseStarted,
    Slip,
)

STAGES = ("one@00000000", "two@00000000")


class StageProgram(Program):
    """One stage: every chunk leaves with the result of the last effect. `J` asks a judge, `H` a person (in stage one),
    `2` doubles, `0` drops; a call whose body is `turn` is held to its end by stage one."""

    def __init__(self, stage: str) -> None:
        self.over = False
        self._first = stage == STAGES[0]
        self._queue: list[AnyEvent] = []
        self._known: dict[str, object] = {}
        self._want: Want | None = None
        self._out: list[AnyEvent] = []
        self._held: list[AnyEvent] = []
        self._holds = False
        self._last: object = "-"
        self._effects = 0
        self._call = ""

    def feed(self, event: AnyEvent, source: str = "") -> None:
        self._call = event.call
        self._queue.append(event)

    def decide(self, key: str, value: object, of: str = "", time: int = 0) -> None:
        self._known.setdefault(key, value)

    def wants(self) -> Sequence[Want]:
        return [self._want] if self._want is not None else []

    def cut(self, reason: str, message: str) -> Sequence[AnyEvent]:
        self.over = True
        return [ResponseFailed(call=self._call, lane="final", error=reason)]

    def advance(self) -> Sequence[AnyEvent]:
        while self._queue and not self.over and self._effect_is_there(self._queue[0]):
            self._step(self._queue.pop(0))
        out, self._out = self._out, []
        return out

    def _effect_is_there(self, event: AnyEvent) -> bool:
        if not isinstance(event, ChunkReceived | ChunkReleased):
            return True
        letter = event.frame[:1]
        if letter != b"J" and not (letter == b"H" and self._first):
            return True
        key = f"0/response/{self._effects}"
        if key not in self._known:
            kind = "judge" if letter == b"J" else "ask"
            self._want = Want(key, kind, timeout_s=None if kind == "judge" else 0.7)
            return False
        self._want, self._last = None, self._known[key]
        self._effects += 1
        return True

    def _step(self, event: AnyEvent) -> None:
        call = event.call
        if isinstance(event, RequestReceived):
            self._holds = self._first and event.body == b"turn"
            if self._first:
                self._out.append(RequestReceived(**{f: getattr(event, f) for f in event.__struct_fields__}))
            self._out.append(RequestReleased(call=call))
        elif isinstance(event, ResponseStarted):
            self._out.append(ResponseStarted(call=call, status=event.status))
        elif isinstance(event, ChunkReceived | ChunkReleased):
            frame = event.frame + b"|" + short(self._last).encode()
            times = {b"2": 2, b"0": 0}.get(event.frame[:1], 1)
            (self._held if self._holds else self._out).extend(
                ChunkReleased(call=call, frame=frame) for _ in range(times)
            )
        elif isinstance(event, ResponseCompleted):
            self._out += [*self._held, ResponseCompleted(call=call, lane="final")]
            self.over = True
        elif isinstance(event, ResponseFailed):
            self._out.append(ResponseFailed(call=call, lane="final", error=event.error))
            self.over = True


def short(value: object) -> str:
    """Return an effect's value in one word."""
    if isinstance(value, dict):
        return str(value.get("decision") or value.get("error"))
    return str(value)


def request(call: str, edge: str, *, holds: bool) -> RequestReceived:
    """The request that opens a call in stage one."""
    slip = Slip("v", tuple(Hop(stage, 0) for stage in STAGES), f"stage:{STAGES[1]}")
    body = b"turn" if holds else b""
    return RequestReceived(call=call, n=0, edge=edge, slip=slip, format="openai_chat", path="/", body=body)


def clean_run(holds: bool, letters: str) -> list[tuple[str, bytes]]:
    """Return the final lane (type name, frame) of an undisturbed run, with `@stage/number` in place of effects."""
    chunks = [ChunkReceived(call="c", frame=f"{w}:{i}".encode()) for i, w in enumerate(letters)]
    rest: list[AnyEvent] = [ResponseStarted(call="c", status=200), *chunks]
    events = [request("c", "e", holds=holds), *rest, ResponseCompleted(call="c", lane="original")]
    for stage in STAGES:
        program = StageProgram(stage)
        for i in range(20):
            program.decide(f"0/response/{i}", f"@{stage}/{i}")
        out: list[AnyEvent] = []
        for event in events:
            program.feed(event)
            out += program.advance()
        events = out
    return [(type(event).__name__, getattr(event, "frame", b"")) for event in events]
