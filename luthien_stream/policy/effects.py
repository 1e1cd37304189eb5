"""Effects: what a policy gets from outside the log. The awaitable hands a `Want` to whoever steps the policy.

A recorded result is any plain value; `{"error": kind, "message": text}` is a failure and raises in the policy.
Several awaitables run side by side in rounds: each is stepped until it waits, in order, and none goes on before all of
the round have what they wait for. So their effects have the same keys whatever is late.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Generator, Iterable, Sequence
from typing import Any

from msgspec import Struct

from luthien_stream.core.program import Want
from luthien_stream.events.answer import Event
from luthien_stream.policy.errors import EffectFailed, ForeignAwait, TooManyEffects
from luthien_stream.policy.facts import DONE, Draw

AT_ONCE = 64
"""How many a policy may wait for at the same time."""


class Pull(Struct, frozen=True):
    """The next event of an answer that the policy has asked for."""

    draw: Draw


Wait = Want | Pull
Token = Wait | tuple[Wait, ...]
"""What a policy waits for: one result, or several at once."""
WAITS = frozenset({Want, Pull, tuple})


@types.coroutine
def next_of(draw: Draw) -> Generator[Pull, Any, Event]:
    """Wait for the next event of an answer. Raises `EffectFailed` where there is none to come."""
    got = yield Pull(draw)
    if got is DONE:
        raise StopAsyncIteration
    if isinstance(got, EffectFailed):
        raise EffectFailed(str(got), **got.facts)
    return got  # type: ignore[no-any-return]


@types.coroutine
def recorded(want: Want) -> Generator[Want, Any, Any]:
    """Wait for the recorded result of `want`, a failure too."""
    return (yield want)


async def perform(want: Want) -> Any:
    """Wait for the recorded result of `want`. Raises `EffectFailed` where a failure or timeout was recorded."""
    value = await recorded(want)
    if is_failure(value):
        raise failed(want.kind, value["error"], value.get("message", ""))
    return value


def failed(kind: str, error: str, message: str = "", **facts: Any) -> EffectFailed:
    """Return what is raised for an effect that failed; `error` is one word, `message` says more."""
    return EffectFailed(f"{kind} failed: {error} {message}".rstrip(), error=error, **facts)


def is_failure(value: Any) -> bool:
    """True for the recorded result of an effect that failed."""
    return isinstance(value, dict) and isinstance(value.get("error"), str)


@types.coroutine
def together(awaitables: Iterable[Awaitable[Any]]) -> Generator[tuple[Wait, ...], Sequence[Any], list[Any]]:
    """Run them side by side; return their results in order. Raises what the first of a round raises."""
    runs: dict[int, Generator[Any, Any, Any]] = {i: one.__await__() for i, one in enumerate(awaitables)}
    results: list[Any] = [None] * len(runs)
    given: dict[int, Any] = dict.fromkeys(runs)
    try:
        if len(runs) > AT_ONCE:
            raise TooManyEffects(f"gathers {len(runs)} at once; at most {AT_ONCE} are allowed")
        while runs:
            tokens: dict[int, Token] = {}
            for number, run in list(runs.items()):
                try:
                    tokens[number] = _checked(run.send(given[number]))
                except StopIteration as returned:
                    results[number] = returned.value
                    del runs[number]
            if tokens:
                given = _shared_out(tokens, (yield _joined(tokens.values())))
    finally:
        for run in runs.values():
            run.close()
    return results


def _checked(token: Any) -> Token:
    for one in token if isinstance(token, tuple) else (token,):
        if type(one) is not Want and type(one) is not Pull:
            raise ForeignAwait(f"gathered what awaits {type(one).__name__}; only what `ctx` gives may be gathered")
    return token  # type: ignore[no-any-return]


def _joined(tokens: Iterable[Token]) -> tuple[Wait, ...]:
    return tuple(wait for token in tokens for wait in (token if isinstance(token, tuple) else (token,)))


def _shared_out(tokens: dict[int, Token], values: Sequence[Any]) -> dict[int, Any]:
    """Give each run what it waited for."""
    given: dict[int, Any] = {}
    at = 0
    for number, token in tokens.items():
        if isinstance(token, tuple):
            given[number] = values[at : at + len(token)]
            at += len(token)
        else:
            given[number] = values[at]
            at += 1
    return given
