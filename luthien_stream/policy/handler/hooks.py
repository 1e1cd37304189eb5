"""`PolicyHandler`: three hooks over OpenAI-shaped requests, answers and chunks, whatever the wire; sync or async.

An answer goes through one of the two answer hooks: where a handler has both, streamed answers through
`apply_streaming_chunk_policy` and unstreamed ones through `apply_response_policy`; where it has one, all through that.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, ClassVar

import msgspec

from luthien_stream.core.lens import Request
from luthien_stream.errors import PolicyError
from luthien_stream.events.answer import End, Event, Opaque, PartEnd, ToolCall
from luthien_stream.policy.api import REFUSED, STOPPED, Hold, Policy, Refuse, Stop
from luthien_stream.policy.context import Context
from luthien_stream.policy.errors import BadYield
from luthien_stream.policy.handler.chunk import Chunk, chunk_of, events_of
from luthien_stream.policy.handler.control import (
    OutgoingQueue,
    PolicyResult,
    RequestMetadata,
    StreamAction,
    StreamControl,
)
from luthien_stream.policy.handler.request import fields_of, request_as
from luthien_stream.policy.handler.whole import events_as, response_of
from luthien_stream.policy.stream import Events

Hook = Callable[..., Any]
SWITCHES = 3
"""How often the model of one answer may be switched."""


class TooManySwitches(PolicyError):
    """A handler switched from model to model. Remember in `control.metadata` that it has switched."""


class PolicyHandler(Policy):
    """See the module. Fields are configuration; what a hook remembers of an answer belongs into `control.metadata`.

    A subclass defines any of

    - `apply_request_policies(request[, metadata])`: the request as a dict in chat form, returned changed or not;
    - `apply_response_policy(response[, metadata])`: the whole answer as a chat completion;
    - `apply_streaming_chunk_policy(chunk, control)`, which returns None, a chunk, or a list of chunks, or
      `apply_streaming_chunk_policy(chunk, outgoing_queue, control)`, which puts chunks into the queue.

    The first two may also return a `PolicyResult`. A tool call comes as one chunk with all of its arguments.
    """

    hold: ClassVar[Hold] = "turn"
    needs: ClassVar[frozenset[str]] = frozenset({"sample"})
    _queued: ClassVar[bool] = False
    """The chunk hook takes a queue."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Find the hooks: what a handler does not define, it takes no part in."""
        super().__init_subclass__(**options)
        asks = _arity(cls, "apply_request_policies", (1, 2))
        whole = _arity(cls, "apply_response_policy", (1, 2))
        chunks = _arity(cls, "apply_streaming_chunk_policy", (2, 3))
        cls._queued = chunks == 3
        cls.request = PolicyHandler.request if asks else Policy.request  # type: ignore[method-assign]
        cls.response = PolicyHandler.response if whole or chunks else Policy.response  # type: ignore[method-assign]

    async def request(self, request: Request, ctx: Context) -> Request:
        """Show the request to its hook, and do to it what the hook did to the dict."""
        fields = fields_of(request)
        returned = await _called(self, "apply_request_policies", fields_of(request), RequestMetadata.at(ctx))
        if isinstance(returned, PolicyResult):
            if not returned.allowed:
                raise Refuse(returned.shown or REFUSED, returned.reason)
            returned = returned.value
        return request if returned is None else request_as(returned, fields, request)

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Take the answer through the hook for it."""
        whole, chunks = hasattr(self, "apply_response_policy"), hasattr(self, "apply_streaming_chunk_policy")
        if whole and not (chunks and ctx.call.streamed):
            for event in await self._whole(events, ctx):
                yield event
            return
        stream = _Stream(self, ctx)
        for _ in range(SWITCHES + 1):
            async for event in events:
                for out in await stream.show(event):
                    yield out
                if stream.over or stream.control.is_acting:
                    break
            if stream.control.should_abort:
                raise stream.control.stop()
            if not stream.control.model:
                return
            events = ctx.sample(stream.switched())
        raise TooManySwitches(f"switched the model more than {SWITCHES} times in one answer")

    async def _whole(self, events: Events, ctx: Context) -> list[Event]:
        turn, call = await events.collect(), RequestMetadata.at(ctx)
        returned = await _called(self, "apply_response_policy", response_of(turn, call), call)
        if isinstance(returned, PolicyResult):
            if not returned.allowed:
                raise Stop(returned.shown or STOPPED, returned.reason)
            returned = returned.value
        return turn if returned is None else list(events_as(returned, turn))


class _Stream:
    """One answer on its way through the chunk hook."""

    def __init__(self, handler: PolicyHandler, ctx: Context) -> None:
        self._handler, self._ctx = handler, ctx
        self._call = RequestMetadata.at(ctx)
        self.control = StreamControl(self._call)
        self._queue = OutgoingQueue()
        self._calls = 0
        self.over = False
        """The hook ended the answer, or nothing more comes."""

    async def show(self, event: Event) -> list[Event]:
        """Give the hook one event; return what it puts out. What has no chunk passes by."""
        if isinstance(event, Opaque | PartEnd):
            return [event]
        chunk = chunk_of(event, self._call, self._ctx.now, self._calls)
        self._calls += isinstance(event, ToolCall)
        outs: list[Event] = []
        end: End | None = None
        for put_out in await self._called(chunk):
            for out in events_of(put_out, chunk.origin):
                if isinstance(out, End):
                    end = out
                else:
                    outs.append(out)
        self.over = end is not None or isinstance(event, End)
        return outs if end is None or self.control.is_acting else [*outs, end]

    def switched(self) -> str:
        """Go on with another model; return its name."""
        model, self.control.model = self.control.model, ""
        self._call, self.over = msgspec.structs.replace(self._call, model=model), False
        return model

    async def _called(self, chunk: Chunk) -> list[Any]:
        hook = self._handler.apply_streaming_chunk_policy  # type: ignore[attr-defined]
        if not self._handler._queued:
            return _listed(await _awaited(hook(chunk, self.control)))
        action = await _awaited(hook(chunk, self._queue, self.control))
        if action is not None:
            self.control.act(StreamAction(action))
        return self._queue.take()


def _listed(returned: Any) -> list[Any]:
    """What a hook returned, as chunks."""
    if returned is None:
        return []
    if isinstance(returned, Mapping):
        return [returned]
    if isinstance(returned, list | tuple | Iterator):
        return list(returned)
    raise BadYield(f"returned a {type(returned).__name__}; return None, a chunk, or a list of chunks")


async def _called(handler: PolicyHandler, name: str, value: Any, call: RequestMetadata) -> Any:
    """Call a hook with as much as it takes."""
    hook: Hook = getattr(handler, name)
    return await _awaited(hook(value, call) if len(_taken(hook)) == 2 else hook(value))


async def _awaited(returned: Any) -> Any:
    return await returned if inspect.isawaitable(returned) else returned


def _taken(hook: Hook) -> list[str]:
    """The names of what a bound hook takes by position."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [name for name, one in inspect.signature(hook).parameters.items() if one.kind in kinds]


def _arity(cls: type[PolicyHandler], name: str, allowed: tuple[int, int]) -> int:
    """How many arguments a hook takes, 0 where there is none. Raises `TypeError` for a signature of neither kind."""
    hook = getattr(cls, name, None)
    if hook is None:
        return 0
    takes = len(_taken(hook)) - 1
    if takes not in allowed:
        raise TypeError(f"{cls.__name__}.{name} takes {takes} arguments; it must take {allowed[0]} or {allowed[1]}")
    return takes
