"""Policies that fail, refuse or stop in the middle of calls: a typed or a good end, and the next request works."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from luthien_stream.core.lens import Request
from luthien_stream.events import log
from luthien_stream.events.answer import Event, Text
from luthien_stream.policy.api import Policy, Refuse, Stop
from luthien_stream.policy.context import Context
from luthien_stream.policy.stream import Events
from tests.integration.edge_ends import ended
from tests.integration.edge_rig import KEY, Got, Rig, running
from tests.wait import wait_until

HEADERS = {"x-api-key": KEY}


class PassOn(Policy):
    """Takes part in the response and changes nothing."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield what comes."""
        async for event in events:
            yield event


class Raises(Policy):
    """Fails after a few texts."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield what comes, for a while."""
        seen = 0
        async for event in events:
            seen += isinstance(event, Text)
            if seen > 5:
                raise RuntimeError("broken policy")
            yield event


class RaisesEarly(PassOn):
    """Fails at the request."""

    async def request(self, request: Request, ctx: Context) -> Request:
        """Fail."""
        raise RuntimeError("broken policy")


class Refuses(Policy):
    """Refuses every request."""

    async def request(self, request: Request, ctx: Context) -> Request:
        """Refuse."""
        raise Refuse("Not here.", "test")


class Stops(Policy):
    """Stops the answer after three texts."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield three texts."""
        texts = 0
        async for event in events:
            yield event
            texts += isinstance(event, Text)
            if texts == 3:
                raise Stop("Enough.", "test")


async def test_a_policy_that_fails_before_the_first_byte_is_503_and_not_to_be_retried() -> None:
    """Closed: the provider's answer is withheld."""
    async with running(RaisesEarly()) as rig:
        got = await rig.ask("text-20")
        assert got.status == 503
        assert got.headers["x-should-retry"] == "false"
        assert (await ended(rig, got.call))["final"] == "policy_failed"
        await _told_on_record_only(rig, got)


async def test_a_policy_that_fails_later_breaks_the_stream_with_an_error() -> None:
    """No end of the message is made up."""
    async with running(Raises()) as rig:
        got = await rig.ask("text-50")
        assert got.broken
        assert b"event: error" in got.body
        assert b"message_stop" not in got.body
        assert (await ended(rig, got.call))["final"] == "policy_failed"
        await _told_on_record_only(rig, got)


async def _told_on_record_only(rig: Rig, got: Got) -> None:
    """What the policy raised may quote what it withheld."""
    failed = await rig.one(got.call, log.PolicyFailed)
    assert failed.message
    assert failed.message.encode() not in got.body
    assert b"A policy failed" in got.body


@pytest.mark.parametrize("stream", [True, False])
async def test_a_refused_request_is_a_well_formed_answer(stream: bool) -> None:
    """200, for agents retry errors; nothing reaches the provider, and there is a final lane only."""
    async with running(Refuses()) as rig:
        got = await rig.ask("text-20", stream=stream)
        assert got.status == 200
        assert b"Not here." in got.body
        assert not got.broken
        assert set(await ended(rig, got.call)) == {"final"}
        assert not rig.provider.requests


async def test_a_stopped_answer_ends_well_and_the_provider_is_cancelled() -> None:
    """The original lane says that it was left."""
    async with running(Stops()) as rig:
        got = await rig.ask("text-500@50")
        assert b"Enough." in got.body
        assert b"message_stop" in got.body
        await wait_until(lambda: rig.provider.requests[0].ended == "gone")
        lanes = await ended(rig, got.call)
        assert lanes["original"] == "final_lane_ended"
