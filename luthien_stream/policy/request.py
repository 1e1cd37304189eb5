"""The request phase of one call: each policy's `request`, stepped by hand, in order."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from luthien_stream.core.lens import Request
from luthien_stream.core.program import Want
from luthien_stream.errors import Nondeterminism
from luthien_stream.events.log import AnyEvent, Known, PolicyFailed, RequestRefused, ResponseFailed, VerdictReached
from luthien_stream.policy.api import Refuse
from luthien_stream.policy.context import CallFacts, Context, Identity, Shared
from luthien_stream.policy.effects import WAITS
from luthien_stream.policy.errors import ForeignAwait, NotAGenerator
from luthien_stream.policy.pipeline import Bound, Pipeline
from luthien_stream.policy.tally import Ran
from luthien_stream.policy.trace import describe
from luthien_stream.policy.waiting import Waiting


class RequestRun:
    """See the module. `advance` until `done`; then `refused`, `failed`, or `request` is for the provider."""

    __slots__ = ("_begun", "_call", "_out", "_running", "_shared", "_todo", "_waiting", "failed", "refused", "request")

    def __init__(
        self, pipeline: Pipeline, call: CallFacts, shared: Shared, request: Request, out: list[AnyEvent]
    ) -> None:
        """Verdicts and failures are appended to `out`, in order."""
        self._call, self._shared = call, shared
        self._todo = [(i, bound) for i, bound in enumerate(pipeline.policies) if "request" in bound.phases]
        self._running: Coroutine[Any, Any, Any] | None = None
        self._waiting: Waiting | None = None
        self._begun = 0
        """When the policy in hand was started, on the log's clock."""
        self.request = request
        self._out = out
        self.refused: RequestRefused | None = None
        self.failed: ResponseFailed | None = None

    @property
    def done(self) -> bool:
        """Nothing is left to run."""
        return not self._todo or self.refused is not None or self.failed is not None

    def wants(self) -> Sequence[Want]:
        """The effects that the policy in hand waits for."""
        return self._waiting.wants() if self._waiting is not None else []

    def advance(self) -> None:
        """Run until an effect is missing or all is done."""
        while not self.done:
            index, bound = self._todo[0]
            value, waiting = None, self._waiting
            if waiting is not None:
                if not waiting.ready():
                    return
                self._waiting, value = None, waiting.value
                self._shared.clock = max(self._shared.clock, waiting.time)
                self._ran(index).held(self._shared.clock - self._begun)
            if waiting is not None and waiting.wrong is not None:
                self._fail(index, bound, waiting.wrong)
            elif not self._step(index, bound, value):
                continue
            self._running = None
            self._todo.pop(0)

    def close(self) -> None:
        """Let go of the policy in hand, whatever it says."""
        running, self._running = self._running, None
        try:
            if isinstance(running, Coroutine):
                running.close()
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001, S110 - it is over
            pass

    def _ran(self, index: int) -> Ran:
        return Ran() if self._shared.tally is None else self._shared.tally.of(index)

    def _start(self, index: int, bound: Bound) -> Any:
        me = Identity(bound.name, bound.version, index, "request", bound.timeout_s, bound.match.tool)
        self._shared.request = self.request
        ran = self._ran(index)

        def note(event: Known) -> None:
            if isinstance(event, VerdictReached) and event.policy == bound.name:
                ran.decided(event.kind)
            self._out.append(event)

        self._begun = max(self._shared.now, self._shared.clock)
        context = Context(self._call, me, self._shared, note)
        return bound.policy.request(self.request, context)

    def _step(self, index: int, bound: Bound, value: Any) -> bool:
        """Send `value` into the policy in hand; return True if the policy is done."""
        try:
            if self._running is None:
                self._running = self._start(index, bound)
            token = self._running.send(value)
        except StopIteration as returned:
            return self._take(index, bound, returned.value)
        except Refuse as refuse:
            self._refuse(index, bound, refuse)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the policy's own code, `SystemExit` included
            self._fail(index, bound, error)
        else:
            if type(token) in WAITS:
                self._waiting = Waiting(token, self._shared, max(self._shared.now, self._shared.clock))
                return False
            what = type(token).__name__
            self._fail(index, bound, ForeignAwait(f"awaited {what}; a policy may await `ctx` only"))
        return True

    def _take(self, index: int, bound: Bound, request: Any) -> bool:
        self._ran(index).done.add("request")
        if hasattr(request, "body") and hasattr(request, "parts"):
            if request is not self.request:
                self._shared.given[index] = self.request
            self.request = request
        else:
            self._fail(index, bound, NotAGenerator(f"request returned a {type(request).__name__}; return the request"))
        return True

    def _refuse(self, index: int, bound: Bound, refuse: Refuse) -> None:
        ran = self._ran(index)
        ran.done.add("request")
        ran.decided("deny")
        self.refused = RequestRefused(call=self._call.id, policy=bound.name, reason=refuse.reason, shown=refuse.shown)
        verdict = VerdictReached(
            call=self._call.id, policy=bound.name, kind="deny", version=bound.version, phase="request"
        )
        verdict.reason, verdict.shown = refuse.reason, refuse.shown
        self._out += self.refused, verdict

    def _fail(self, index: int, bound: Bound, error: BaseException) -> None:
        self._ran(index).failed = True
        message = describe(error, self._running, type(bound.policy), "at the request")
        failure = PolicyFailed(call=self._call.id, policy=bound.name, error=type(error).__name__, phase="request")
        went = "closed" if isinstance(error, Nondeterminism) else bound.on_error
        failure.message, failure.went = message, went
        self._out.append(failure)
        self.close()
        if went == "closed":
            text = f"The policy {bound.name} failed: {message}"
            self.failed = ResponseFailed(call=self._call.id, lane="final", error="policy_failed", message=text)
