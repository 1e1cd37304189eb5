"""What a policy knows beside its events. All of it comes from the log, so that a second run sees the same."""

from __future__ import annotations

import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

import structlog

from luthien_stream.core.digest import digest_of
from luthien_stream.core.lens import Request
from luthien_stream.core.program import Want
from luthien_stream.errors import PolicyError
from luthien_stream.events.answer import Text, ToolCall
from luthien_stream.events.log import Known, SampleRequested, VerdictKind, VerdictReached
from luthien_stream.policy.asking import ASK_S, Approval, asked, digest, hold
from luthien_stream.policy.effects import AT_ONCE, perform, recorded, together
from luthien_stream.policy.errors import TooManyEffects
from luthien_stream.policy.facts import CallFacts as CallFacts
from luthien_stream.policy.facts import Draw
from luthien_stream.policy.facts import Identity as Identity
from luthien_stream.policy.facts import Shared as Shared
from luthien_stream.policy.folding import Session
from luthien_stream.policy.judging import FORMAT, TOKENS, S, judge
from luthien_stream.policy.keeping import Kv
from luthien_stream.policy.matching import fits
from luthien_stream.policy.preflight import is_preflight
from luthien_stream.policy.sampling import SAMPLE_S, Said, Sample, continued, wanted
from luthien_stream.policy.score import Score
from luthien_stream.policy.subject import subject as rendered
from luthien_stream.policy.tokens import count_tokens
from luthien_stream.policy.turns import Turn, turns_of

EFFECTS = 1_000
"""Effects that one policy may ask for in one phase of a call."""


class Context:
    """Time, chance, verdicts and facts for one policy in one phase of one call."""

    __slots__ = (
        "_count",
        "_draws",
        "_me",
        "_note",
        "_random",
        "_said",
        "_session",
        "_shared",
        "_turns",
        "call",
        "reached",
    )

    def __init__(
        self,
        call: CallFacts,
        me: Identity,
        shared: Shared,
        note: Callable[[Known], None],
        said: Said | None = None,
    ) -> None:
        """`said` is what the policy has put out of the answer, None where nobody keeps it."""
        self.call = call
        self._me, self._shared, self._note, self._said = me, shared, note, said
        self._draws: list[Draw] = []
        self._session: Session | None = None
        self._turns: tuple[Request, Sequence[Turn]] | None = None
        self._random: random.Random | None = None
        self._count = 0
        self.reached = 0
        """When the last effect that the policy used was recorded; the engine sets it."""

    @property
    def session(self) -> Session:
        """The agent run that the call belongs to: its `id`, and what this policy's `fold` keeps of it."""
        if self._session is None:
            sessions, index = self._shared.sessions, self._me.index
            if sessions is None:
                self._session = Session(self.call.session)
            else:
                self._session = sessions.apart(index) if self._me.prefix else sessions.of(index)
        return self._session

    @property
    def kv(self) -> Kv:
        """What this policy keeps beyond calls and sessions."""
        return Kv(self._me.name, self._effect)

    def concerns(self, tool: str) -> bool:
        """Say whether the policy is for this tool, as its `match` says."""
        return fits(self._me.tools, tool)

    @property
    def request(self) -> Request:
        """The request: in `request` the one given, in `response` the one that was released. Raises `PolicyError`."""
        request = self._shared.request
        if request is None:
            raise PolicyError("There is no request in this run; give `run` one")
        return request

    @property
    def given(self) -> Request:
        """The request as this policy was given it, in `response` too, where `request` has what became of it."""
        return self._shared.given.get(self._me.index) or self.request

    @property
    def turns(self) -> Sequence[Turn]:
        """The conversation up to what is to be answered now, oldest first; empty in a run without a request."""
        request = self._shared.request
        if request is None:
            return ()
        if self._turns is None or self._turns[0] is not request:
            self._turns = request, turns_of(request)
        return self._turns[1]

    @property
    def preflight(self) -> bool:
        """True for a call that is no turn of the conversation: a probe, or a title for the session."""
        return self._shared.request is not None and is_preflight(self._shared.request)

    @staticmethod
    def count_tokens(text: str) -> int:
        """Return how many tokens a text has in OpenAI's newer models, an estimate for others."""
        return count_tokens(text)

    @property
    def now(self) -> int:
        """When the event in hand came in, microseconds since 1970, UTC."""
        return self._shared.now

    @property
    def random(self) -> random.Random:
        """Chance, seeded by call, policy and phase: a second run draws the same."""
        if self._random is None:
            me = self._me
            self._random = random.Random(f"{me.prefix}{self.call.id}/{me.index}/{me.phase}")
        return self._random

    def uuid(self) -> uuid.UUID:
        """Return a new UUID, drawn from `random`."""
        return uuid.UUID(int=self.random.getrandbits(128), version=4)

    @property
    def log(self) -> Any:
        """A logger that names call and policy; a call that is run again logs again. Never log what was said."""
        return structlog.get_logger().bind(call=self.call.id, policy=self._me.name)

    def verdict(
        self, kind: VerdictKind, reason: str = "", *, shown: str = "", score: float | None = None, about: str = ""
    ) -> None:
        """Record a decision: `reason` for the log only, `shown` what the agent is told, `about` a tool call's id."""
        me = self._me
        verdict = VerdictReached(call=self.call.id, policy=me.name, kind=kind, version=me.version, phase=me.phase)
        verdict.reason, verdict.shown, verdict.score, verdict.about = reason, shown, score, about
        self._note(verdict)

    async def gather(self, *awaitables: Awaitable[Any]) -> list[Any]:
        """Wait for several effects at once, at most 64; return their results in order.

        They go on in rounds, so a slow one holds up the others of its round. What the first of them raises is raised.
        """
        return await together(awaitables)

    async def ask(self, call: ToolCall, reason: str = "", *, timeout_s: float = ASK_S) -> Approval:
        """Have a person decide on a tool call, at most `timeout_s`; no answer by then is `expired`.

        The call waits meanwhile, whatever the policy's own `timeout_s` says.
        """
        held = hold(call, reason, self._key(), self._me, self.call, self._shared.place)
        held.deadline = self._from_now(timeout_s)
        self._note(held)
        return Approval.of(await recorded(asked(held, timeout_s)))

    def digest(self, call: ToolCall) -> str:
        """SHA-256 (hex) of what a person's decision on a call is bound to: tool, arguments, version of this policy."""
        return digest(call, self._me.version)

    def sample(self, model: str, request: Request | None = None, n: int = 1, *, timeout_s: float = SAMPLE_S) -> Sample:
        """Ask a model for `n` answers; they come while it speaks, having passed the policies before this one.

        Without `request` it is the one of this call; where the policy has put out some of the answer, the model is
        asked to go on from there. Passing on what comes switches the model: `async for event in ctx.sample(model)`.
        """
        asked = self._asked() if request is None else request
        released = self._shared.request if self._me.phase == "response" else None
        body = b"" if asked is released else asked.set_model(model).body
        made = [Sample(self._draw(model, "sample", self.call.format, body, timeout_s)) for _ in range(n)]
        return Sample(made[0]._draw, tuple(made)) if n > 1 else made[0]

    async def judge(
        self,
        model: str,
        prompt: str,
        subject: str | Sequence[ToolCall | Text],
        *,
        schema: type[S] = Score,  # type: ignore[assignment]
        retries: int = 1,
        timeout_s: float | None = None,
        tokens: int = TOKENS,
    ) -> S:
        """Ask a model for an opinion on `subject`: a text, or calls, which are shown behind the conversation.

        Raises `JudgeFailed` for whatever is not one JSON object of `schema`, and where no reply came; a provider that
        is overloaded or breaks off is asked again, `retries` times.
        """
        shown = subject if isinstance(subject, str) else rendered(self.turns, subject)
        return await judge(self, model, prompt, shown, schema, retries, self._limit(timeout_s), tokens)

    def _asked(self) -> Request:
        """The request that an answer is drawn to, where the policy names none."""
        if self._me.phase == "request":
            return self.request
        if self._said is None:
            raise PolicyError('samples without declaring it; say `needs = frozenset({"sample"})`')
        return continued(self.request, self._said)

    def _reply(self, model: str, body: bytes, limit_s: float) -> Sample:
        """The answer to a judge's question."""
        return Sample(self._draw(model, "judge", FORMAT, body, limit_s))

    def _draw(self, model: str, why: Literal["sample", "judge"], format: str, body: bytes, limit_s: float) -> Draw:
        me, shared = self._me, self._shared
        if shared.draws is None:
            raise PolicyError("This run has nowhere to ask a model")
        self._draws = [draw for draw in self._draws if not draw.read]
        if len(self._draws) >= AT_ONCE:
            raise TooManyEffects(f"has {AT_ONCE} answers that it has not read to their end; read those first")
        requested = SampleRequested(call=self.call.id, key=self._key(), model=model, format=format, body=body, why=why)
        requested.policy, requested.deadline = me.name, self._from_now(limit_s)
        requested.stage, requested.partition = shared.place.stage, shared.place.partition
        draw = shared.draws.open(requested, wanted(requested, limit_s), me, self._note)
        self._draws.append(draw)
        self._note(requested)
        return draw

    async def _pause(self, seconds: float) -> None:
        """Let time pass; the owner records when it had."""
        await perform(Want(self._key(), "timer", self._from_now(seconds)))

    def _limit(self, timeout_s: float | None) -> float:
        return self._me.timeout_s if timeout_s is None else min(timeout_s, self._me.timeout_s)

    def _effect(self, kind: str, args: Any = None, timeout_s: float | None = None) -> Awaitable[Any]:
        """Ask the owner of the call for something outside the log; its result is recorded once and counts for ever."""
        digest_of(kind, args)  # what the log cannot hold fails here, in the policy
        return perform(Want(self._key(), kind, args, self._limit(timeout_s)))

    def _key(self) -> str:
        me = self._me
        if self._count >= EFFECTS:
            raise TooManyEffects(f"asks for more than {EFFECTS} effects; decide with fewer")
        self._count += 1
        return f"{me.prefix}{me.index}/{me.phase}/{self._count - 1}"

    def _from_now(self, seconds: float) -> int:
        """The time in `seconds`, counted from where the call has got to on the log's clock."""
        return max(self._shared.now, self._shared.clock, self.reached) + int(seconds * 1e6)
