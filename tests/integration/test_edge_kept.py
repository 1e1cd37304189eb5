"""Sessions and what policies keep, over a worker and the log: one call's words are the next one's facts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar

from luthien_stream.events.answer import Event, Text
from luthien_stream.policy import Fold
from luthien_stream.policy.api import Policy
from luthien_stream.policy.context import Context
from luthien_stream.policy.stream import Events
from tests.integration.edge_rig import KEY, Rig, running
from tests.wait import wait_until


class Counts(Policy):
    """Says how many calls there were, of the session and of all."""

    fold: ClassVar[Fold | None] = Fold(0, lambda state, delta: state + delta)

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Count."""
        ctx.session.add(1)
        every = await ctx.kv.add("calls")
        async for event in events:
            yield event.with_text(f"<{ctx.session.state}/{every}>") if isinstance(event, Text) else event


async def said(rig: Rig, session: str) -> bytes:
    """The first count in an answer, once the call is closed."""
    headers: dict[str, Any] = {"x-api-key": KEY, "anthropic-version": "2023-06-01", "x-session-id": session}
    got = await rig.ask("text-1", headers=headers)
    await wait_until(lambda: rig.delivered(got.call))
    return got.body.partition(b"<")[2].partition(b">")[0]


async def test_a_call_knows_what_the_calls_of_its_session_came_to() -> None:
    """Settled with their ends; what is kept by name is for all sessions."""
    async with running(Counts()) as rig:
        assert [await said(rig, session) for session in ("a", "a", "b", "a", "b")] == [
            b"0/1",
            b"1/2",
            b"0/3",
            b"2/4",
            b"1/5",
        ]
