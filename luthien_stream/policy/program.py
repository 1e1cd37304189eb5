"""A pipeline as a program of the log: what is accepted for a call goes in, what the stage releases comes out.

A pure function of what it is fed. Time comes from the events, chance from the call's id, the rest from effects.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from luthien_stream.core.lens import Lens, Request
from luthien_stream.core.program import SAMPLE, Folded, Want
from luthien_stream.errors import ClientError, PolicyError
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    PolicyRan,
    RequestReceived,
    RequestReleased,
    ResponseAborted,
    ResponseCompleted,
    ResponseFailed,
    ResponseStarted,
    Terminal,
)
from luthien_stream.policy.draws import Draws
from luthien_stream.policy.earlier import Earlier, Known
from luthien_stream.policy.facts import CallFacts, Place, Shared
from luthien_stream.policy.folding import Sessions
from luthien_stream.policy.passing import PassRun
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.preflight import is_preflight
from luthien_stream.policy.request import RequestRun
from luthien_stream.policy.response import ResponseRun, final
from luthien_stream.policy.tally import Tally
from luthien_stream.policy.waiting import Waiting


class PolicyProgram:
    """Implements `core.program.Program`."""

    __slots__ = (
        "_before",
        "_call",
        "_decided",
        "_draws",
        "_inputs",
        "_known",
        "_lens",
        "_lenses",
        "_opening",
        "_out",
        "_phases",
        "_pipeline",
        "_request",
        "_response",
        "_shared",
        "over",
    )

    def __init__(
        self, pipeline: Pipeline, lenses: Mapping[str, Lens], stage: str = "", known: Known | None = None
    ) -> None:
        """`lenses` by format name; `stage` is the key of the stage that runs the call, the pipeline's own if empty;
        `known` are other stages that calls pass.
        """
        if stage and stage != pipeline.stage:
            raise PolicyError(f"This worker has the pipeline {pipeline.stage}; the call belongs to {stage}")
        self._pipeline, self._lenses, self._known = pipeline, lenses, known or {}
        self._phases = pipeline.phases
        """What the call goes through here, for the sake of other stages too."""
        self._call = CallFacts()
        self._shared = Shared()
        self._lens: Lens | None = None
        self._draws: Draws | None = None
        """The answers that policies have asked for."""
        self._opening: tuple[Request, Waiting] | None = None
        """The request, while what is kept of its session has not been read."""
        self._before: tuple[PolicyRan, ...] = ()
        """What the stages before this one say of theirs."""
        self._request: RequestRun | None = None
        """The request phase, while it lasts."""
        self._response: ResponseRun | PassRun | None = None
        self._inputs: deque[AnyEvent] = deque()
        self._out: list[AnyEvent] = []
        self._decided = False
        self.over = False

    def feed(self, event: AnyEvent, source: str = "") -> None:
        """Take the next accepted input."""
        if not source:
            self._inputs.append(event)
        elif self._draws is not None:
            self._draws.feed(source.removeprefix(SAMPLE), event)
            self._decided = True

    def decide(self, key: str, value: Any, of: str = "", time: int = 0) -> None:
        """Take the recorded result of an effect."""
        self._shared.results[key] = value
        self._shared.records[key] = (of, time)
        self._decided = True

    def advance(self) -> Sequence[AnyEvent]:
        """Run until it waits for input or effects; return outputs in order."""
        if self._decided:
            self._decided = False
            self._go_on()
        while self._inputs and not self.over and self._request is None and self._opening is None:
            self._take(self._inputs.popleft())
        return self._outputs()

    def wants(self) -> Sequence[Want]:
        """The effects it waits for now."""
        if self._opening is not None:
            return self._opening[1].wants()
        run = self._request or self._response
        if self.over or run is None or self._draws is None:
            return ()
        return [*run.wants(), *self._draws.wants()]

    def folds(self) -> Sequence[Folded]:
        """What it adds to its session, once it is over. A preflight adds nothing."""
        shared = self._shared
        found = shared.sessions.folded() if shared.sessions is not None else ()
        return () if found and shared.request is not None and is_preflight(shared.request) else found

    def cut(self, reason: str, message: str) -> Sequence[AnyEvent]:
        """End the call now: what policies hold does not leave, and no good end is made up."""
        if not self.over:
            self._end(ResponseFailed(call=self._call.id, lane="final", error=reason, message=message))
        return self._outputs()

    def _outputs(self) -> Sequence[AnyEvent]:
        out = self._out[:]
        self._out.clear()
        if self.over and out and isinstance(out[-1], Terminal) and self._shared.tally is not None:
            out[-1].policies = (*self._before, *self._shared.tally.finished())
        return out

    def _take(self, event: AnyEvent) -> None:
        """Do what the event asks for."""
        response = self._response
        self._before = getattr(event, "policies", ())
        if response is not None:
            if type(event) is ChunkReceived:
                response.chunk(event)
            elif isinstance(event, ResponseCompleted | ResponseFailed | ResponseAborted):
                response.end(event)
            else:
                response.note(event)
            if response.over:
                self._close()
        elif isinstance(event, RequestReceived):
            self._open(event)
        elif isinstance(event, ResponseStarted):
            self._begin(event)
        elif isinstance(event, ResponseCompleted | ResponseFailed | ResponseAborted):
            self._end(final(event))
        else:
            self._out.append(event)

    def _go_on(self) -> None:
        """An effect has its result."""
        if self._opening is not None:
            self._start(*self._opening)
        elif self._request is not None:
            self._request.advance()
            self._release()
        elif self._response is not None and not self.over:
            self._response.decided()
            if self._response.over:
                self._close()

    def _open(self, event: RequestReceived) -> None:
        self._call = CallFacts.of(event)
        self._shared.now = event.time
        self._shared.place = Place.of(event, self._pipeline.stage)
        self._lens = self._lenses.get(event.format)
        if self._lens is None:
            self._fail("bad_request", f"The format {event.format!r} is not known here")
            return
        try:
            request = self._lens.request(event.body)
        except ClientError as error:
            self._fail("bad_request", str(error))
            return
        place = event.slip.place(self._pipeline.stage)
        if place >= 0:
            self._phases = event.slip.hops[place].phases
        self._pipeline = self._pipeline.narrowed(self._call)
        objection = self._pipeline.objection(request)
        if objection is not None:
            self._fail("bad_request", objection)
            return
        shared = self._shared
        earlier = Earlier.of(event.slip, self._pipeline.stage, self._call, self._known)
        folds = {**earlier.folds, **self._pipeline.folds} if self._pipeline.draws_samples else self._pipeline.folds
        self._draws = shared.draws = Draws(self._pipeline, self._lenses, self._call, shared, earlier)
        shared.tally = Tally(self._pipeline)
        shared.sessions = Sessions(self._call.session, folds, shared.results)
        want = shared.sessions.want()
        self._start(request, Waiting(want or (), shared))

    def _start(self, request: Request, session: Waiting) -> None:
        """Run the request phase, once it is known what is kept of the session."""
        if not session.ready():
            self._opening = (request, session)
            return
        self._opening = None
        if session.wrong is not None:
            self._fail("nondeterminism", str(session.wrong))
            return
        self._shared.clock = max(self._shared.now, session.time)
        self._request = RequestRun(self._pipeline, self._call, self._shared, request, self._out)
        self._request.advance()
        self._release()

    def _release(self) -> None:
        """Put out what the request phase came to, if it is done."""
        run = self._request
        if run is None or not run.done:
            return
        self._request = None
        if run.failed is not None:
            self._end(run.failed)
        elif run.refused is not None:
            self._shared.tally.refused = True  # type: ignore[union-attr]
            self._answer_refusal(run.request, run.refused.shown)
        else:
            request = self._shared.request = run.request
            body = request.body if request.changed else b""
            self._out.append(
                RequestReleased(
                    call=self._call.id, changed=request.changed, body=body, body_size=len(body), model=request.model
                )
            )
            self.over = "response" not in self._phases

    def _answer_refusal(self, request: Request, shown: str) -> None:
        """Put out a whole turn that says so: agents retry an HTTP error, not an answer."""
        kind: Literal["frame", "body"] = "frame" if request.streamed else "body"
        for frame in self._lens.refusal(request, shown, self._call.id):  # type: ignore[union-attr]
            self._out.append(ChunkReleased(call=self._call.id, frame=frame, kind=kind))
        self._end(ResponseCompleted(call=self._call.id, lane="final", reason="stop"))

    def _begin(self, event: ResponseStarted) -> None:
        self._out.append(
            ResponseStarted(
                call=self._call.id,
                status=event.status,
                headers=event.headers,
                provider=event.provider,
                model=event.model,
                streamed=event.streamed,
            )
        )
        if event.status >= 400:
            self._response = PassRun(event.status, self._out)
        elif self._lens is not None:
            self._response = ResponseRun(
                self._lens, self._pipeline, self._call, self._shared, self._out, event.streamed
            )

    def _fail(self, error: str, message: str) -> None:
        self._end(ResponseFailed(call=self._call.id, lane="final", error=error, message=message))

    def _end(self, terminal: Terminal) -> None:
        self._out.append(terminal)
        self._close()

    def _close(self) -> None:
        """Let go of whatever still runs."""
        for run in (self._request, self._response):
            if run is not None:
                run.close()
        if self._draws is not None:
            self._draws.close()
        self._request = self._response = self._opening = None
        self.over = True
