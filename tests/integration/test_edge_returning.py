"""Clients that go away and come back: drained, parked and resumed calls, and requests that an SDK sends again."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from luthien_stream.bus.port import START
from luthien_stream.core.lens import Request
from luthien_stream.core.sse import Splitter
from luthien_stream.events import log
from luthien_stream.events.answer import Event, Text
from luthien_stream.policy.api import Policy, Refuse
from luthien_stream.policy.context import Context
from luthien_stream.policy.stream import Events
from tests.integration.edge_ends import ended
from tests.integration.edge_rig import FORMATS, KEY, PATHS, Got, Rig, request_body, running
from tests.wait import wait_until

HEADERS = {"authorization": f"Bearer {KEY}"}


class Shout(Policy):
    """Changes every text."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield texts in capitals."""
        async for event in events:
            yield event.with_text(event.text.upper()) if isinstance(event, Text) else event


class Refuses(Policy):
    """Refuses every request."""

    async def request(self, request: Request, ctx: Context) -> Request:
        """Raise."""
        raise Refuse("Not today.")


WAYS = [(), (Shout(),)]


async def left(rig: Rig, model: str, format: str, **headers: str) -> str:
    """Ask, take a few frames, go away. Returns the call's id."""
    body = io.BytesIO(json.dumps(request_body(model, format)).encode())
    asked = rig.client.post(rig.url + PATHS[format], data=body, headers={**HEADERS, **headers})
    async with asked as response:
        splitter, seen = Splitter(), 0
        while seen < 3:
            seen += len(splitter.feed(await response.content.readany()))
        call = response.headers["x-luthien-call-id"]
        response.close()
    await wait_until(lambda: call not in rig.edge.calls or rig.edge.calls[call].gone)
    return str(call)


async def resumed(rig: Rig, call: str, query: str = "", **headers: str) -> Got:
    """Come back for it."""
    return await rig.send("GET", f"/v1/calls/{call}/stream{query}", headers={**HEADERS, **headers})


def without_ids(got: Got) -> bytes:
    """The frames as the client would have got them."""
    return b"".join(frame.split(b"\n", 1)[1] for frame in got.frames if frame.startswith(b"id: "))


def ids(got: Got) -> list[int]:
    """The positions of the frames."""
    return [int(frame.split(b"\n", 1)[0].removeprefix(b"id: ")) for frame in got.frames if frame.startswith(b"id: ")]


@pytest.mark.parametrize("policies", WAYS)
@pytest.mark.parametrize("mode", ["drain", "park"])
async def test_a_call_can_go_on_without_its_client(policies: tuple[Policy, ...], mode: str) -> None:
    """To the provider's own end, with both lanes on record and the truth about the client."""
    async with running(*policies, on_disconnect=mode) as rig:
        rig.provider.script("text-50@200")
        call = await left(rig, "any", "anthropic_messages")
        assert await ended(rig, call) == {"original": "", "final": "" if not policies else "stop"}
        assert rig.provider.requests[0].ended == "complete"
        delivered = await rig.one(call, log.ResponseDelivered)
        assert delivered.left == "disconnected"
        kind = log.ChunkReleased if policies else log.ChunkReceived
        assert len(await rig.all(call, kind)) == len(rig.provider.requests[0].sent)
        assert delivered.last < (await rig.all(call, kind))[-1].n
        await wait_until(lambda: not rig.edge.calls)


async def test_a_client_says_for_itself_what_becomes_of_its_call() -> None:
    """By a header that does not reach the provider; one that says nothing of sense is refused."""
    async with running() as rig:
        call = await left(rig, "text-50@200", "openai_chat", **{"x-luthien-on-disconnect": "drain"})
        await ended(rig, call)
        assert rig.provider.requests[0].ended == "complete"
        assert "x-luthien-on-disconnect" not in rig.provider.requests[0].headers
        call = await left(rig, "text-500@200", "openai_chat")
        await wait_until(lambda: rig.provider.requests[1].ended == "gone")
        got = await rig.ask("text-1", headers={**HEADERS, "x-luthien-on-disconnect": "later"})
        assert (got.status, b"cancel, drain, park" in got.body) == (400, True)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("policies", WAYS)
async def test_a_parked_call_is_resumed_from_the_log_and_then_live(policies: tuple[Policy, ...], format: str) -> None:
    """All of it, or what comes behind a position, whether it still runs or not."""
    async with running(*policies, on_disconnect="park") as rig:
        rig.provider.script("text-40@200")
        call = await left(rig, "any", format)
        live = await resumed(rig, call)
        assert (live.status, live.call, live.headers["content-type"]) == (200, call, "text/event-stream")
        sent = b"".join(rig.provider.requests[0].sent)
        assert (without_ids(live) == sent) == (not policies)
        later = await resumed(rig, call)
        assert later.body == live.body
        numbers = ids(live)
        assert numbers == sorted(set(numbers))
        rest = await resumed(rig, call, f"?after={numbers[5]}")
        assert ids(rest) == numbers[6:]
        assert ids(await resumed(rig, call, **{"last-event-id": str(numbers[5])})) == numbers[6:]
        assert ids(await resumed(rig, call, f"?after={numbers[-1]}")) == []
        assert len(rig.provider.requests) == 1


async def test_a_resumed_call_that_fails_says_so() -> None:
    """In the stream, in the dialect of the call."""
    async with running(on_disconnect="park") as rig:
        call = await left(rig, "cut-20", "anthropic_messages")
        got = await resumed(rig, call)
        assert b"event: error" in got.frames[-1]
        assert b"upstream_cut" in got.frames[-1] or b"in the middle" in got.frames[-1]


@pytest.mark.parametrize("policies", WAYS)
async def test_a_providers_own_error_is_told_once(policies: tuple[Policy, ...]) -> None:
    """In its own words, to who asked and to who comes back."""
    async with running(*policies) as rig:
        first = await rig.ask("error-frame-5", headers={**HEADERS, "anthropic-version": "2023-06-01"})
        assert first.body.count(b"event: error") == 1
        assert not first.broken
        back = await resumed(rig, first.call)
        assert without_ids(back) == first.body


async def test_a_body_comes_back_as_one_event() -> None:
    """Whatever lines it has."""
    async with running() as rig:
        got = await rig.ask("text-5", "openai_chat", stream=False)
        back = await resumed(rig, got.call)
        (frame,) = back.frames
        lines = [line for line in frame.split(b"\n") if line.startswith(b"data: ")]
        assert b"\n".join(line.removeprefix(b"data: ") for line in lines) == got.body


async def test_only_who_began_a_call_gets_it() -> None:
    """Another credential, or none, learns nothing: not even that there is such a call."""
    async with running() as rig:
        got = await rig.ask("text-5", "openai_chat")
        assert (await resumed(rig, got.call)).status == 200
        for headers in ({"authorization": "Bearer sk-another-one"}, {"x-api-key": KEY}, {"authorization": ""}):
            refused = await resumed(rig, got.call, **headers)
            assert refused.status == 404
            unknown = await resumed(rig, "01a214d7-b24c-7068-bf8e-a29ea46e8d8a", **headers)
            assert json.loads(refused.body)["error"] == json.loads(unknown.body)["error"]


@pytest.mark.parametrize("query", ["?after=x", "?after=-2", "?after=1.5", "?after=", "?after=1e3", "?after=0-0"])
async def test_a_position_that_is_none_is_refused(query: str) -> None:
    """400, and never the whole stream instead."""
    async with running() as rig:
        got = await rig.ask("text-5", "openai_chat")
        assert (await resumed(rig, got.call, query)).status == 400
        assert (await resumed(rig, got.call, **{"last-event-id": query.removeprefix("?after=") or "x"})).status == 400
        assert (await resumed(rig, got.call, "?after=1", **{"last-event-id": "2"})).status == 400


@pytest.mark.parametrize("policies", WAYS)
async def test_what_the_log_no_longer_has_is_a_gap(policies: tuple[Policy, ...]) -> None:
    """Said before the first frame that is left; not said to who has it already."""
    async with running(*policies, unproved="the log is cut away") as rig:
        rig.provider.script("text-40@400")
        got = await rig.ask("any", "openai_chat")
        numbers = ids(await resumed(rig, got.call))
        entries = await rig.bus.range(rig.edge.inbox.stream, START)
        rig.bus.data.streams[rig.edge.inbox.stream].trim(_id(entries[len(entries) // 2].id))
        trimmed = await resumed(rig, got.call)
        assert trimmed.frames[0].startswith(b"event: gap\n")
        gap = json.loads(trimmed.frames[0].split(b"data: ")[1])
        assert gap == {"after": -1, "earliest": ids(trimmed)[0]}
        assert ids(trimmed) == [number for number in numbers if number >= gap["earliest"]]
        assert b"event: gap" not in (await resumed(rig, got.call, f"?after={gap['earliest'] - 1}")).body


def _id(text: str) -> tuple[int, int]:
    ms, _, number = text.partition("-")
    return int(ms), int(number)


async def again(rig: Rig, format: str, count: int = 1, *, key: str = KEY, **more: Any) -> Got:
    """The request as an SDK sends it, for the nth time."""
    headers = {"authorization": f"Bearer {key}", "x-stainless-retry-count": str(count)}
    return await rig.ask("text-30@300", format, headers=headers, **more)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("policies", WAYS)
async def test_a_repeated_request_is_not_paid_for_twice(
    policies: tuple[Policy, ...], format: str, stream: bool
) -> None:
    """It gets the bytes, status and headers of the call that is under way, and of one that has just ended."""
    async with running(*policies) as rig:
        first, second = await asyncio.gather(
            again(rig, format, 0, stream=stream), _once_begun(rig, again(rig, format, 1, stream=stream))
        )
        third = await again(rig, format, 2, stream=stream)
        assert len(rig.provider.requests) == 1
        for got in (second, third):
            assert (got.status, got.body, got.broken) == (200, first.body, False)
            assert got.call == first.call
            assert got.headers["content-type"] == first.headers["content-type"]
            assert [got.headers.get(name) for name in _IDS] == [first.headers.get(name) for name in _IDS]


_IDS = ("request-id", "x-request-id", "anthropic-ratelimit-requests-limit", "x-ratelimit-limit-requests")


async def _once_begun(rig: Rig, request: object) -> Got:
    await wait_until(lambda: bool(rig.provider.requests))
    return await request  # type: ignore[misc, no-any-return]


async def test_a_refused_request_is_refused_again_without_a_new_call() -> None:
    """The refusal is the answer."""
    async with running(Refuses()) as rig:
        first, second = await again(rig, "openai_chat", 0), await again(rig, "openai_chat", 1)
        assert (second.call, second.body) == (first.call, first.body)


async def test_another_request_is_another_call() -> None:
    """Another body, query or credential, a first attempt, and no count at all."""
    async with running() as rig:
        first = await again(rig, "openai_chat", 0)
        others = [
            await again(rig, "openai_chat", 1, key="sk-another-one"),
            await again(rig, "openai_chat", 1, fields={"temperature": 0.5}),
            await again(rig, "openai_chat", 1, query="?a=b"),
            await again(rig, "openai_chat", 0),
            await rig.ask("text-30@300", "openai_chat", headers=HEADERS),
        ]
        assert len({got.call for got in (first, *others)}) == len(rig.provider.requests) == 6


async def test_a_call_that_failed_is_made_again() -> None:
    """That is what the repeated request is for."""
    async with running() as rig:
        rig.provider.script("error-429", "cut-5")
        assert (await again(rig, "openai_chat", 0)).status == 429
        assert (await again(rig, "openai_chat", 1)).broken
        assert (await again(rig, "openai_chat", 2)).body.endswith(b"[DONE]\n\n")
        assert len(rig.provider.requests) == 3


async def test_a_call_that_fails_under_a_repeated_request_ends_both() -> None:
    """Neither takes it for complete."""
    async with running() as rig:
        rig.provider.script("break-5")
        rig.provider.pause()
        first = asyncio.create_task(again(rig, "anthropic_messages", 0))
        await wait_until(lambda: bool(rig.edge.calls))
        second = asyncio.create_task(again(rig, "anthropic_messages", 1))
        await wait_until(lambda: rig.edge.returning.busy == 1)
        rig.provider.resume()
        for got in (await first, await second):
            assert b"event: error" in got.body
            assert got.broken
        assert len(rig.provider.requests) == 1


async def test_attaching_can_be_turned_off() -> None:
    """Every request is a call then."""
    async with running(attach_retries_s=0) as rig:
        first, second = await again(rig, "openai_chat", 0), await again(rig, "openai_chat", 1)
        assert first.call != second.call
        assert (await resumed(rig, first.call)).status == 200


async def test_another_edge_finds_the_answer_too() -> None:
    """The retry and the client that comes back need not reach the edge that has the call."""
    async with running(on_disconnect="park") as one, running(bus=one.bus) as other:
        first = await again(one, "openai_chat", 0)

        async def found() -> bool:
            return await one.bus.get_value(f"call:{first.call}") is not None

        await wait_until(found)
        second = await again(other, "openai_chat", 1)
        assert (second.call, second.body) == (first.call, first.body)
        assert without_ids(await resumed(other, first.call)) == first.body
        assert not other.provider.requests


async def test_an_edge_that_is_gone_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was delivered is there; then an error instead of silence."""
    from luthien_stream.edge import lane

    monkeypatch.setattr(lane, "BLOCK_MS", 10)
    async with running() as rig:
        rig.provider.script("text-40@1")
        asked = asyncio.create_task(again(rig, "anthropic_messages", 0))
        await wait_until(lambda: bool(rig.provider.requests and len(rig.provider.requests[0].sent) > 1))
        (call,) = rig.edge.calls
        await rig.bus.unbeat("edge", rig.edge.id)
        got = await resumed(rig, call)
        assert b"send the request again" in got.frames[-1]
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)


async def test_who_takes_nothing_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No second answer is written into the first one."""
    from luthien_stream.edge import delivery

    monkeypatch.setattr(delivery, "DRAIN_S", 0.2)
    monkeypatch.setattr(delivery, "UNSENT_BYTES", -1)
    async with running() as rig:
        first = await rig.ask("text-5", "openai_chat", headers={**HEADERS, "x-stainless-retry-count": "0"})
        headers = {**HEADERS, "x-stainless-retry-count": "1"}
        for got in (await rig.ask("text-5", "openai_chat", headers=headers), await resumed(rig, first.call)):
            assert (got.status, got.call, got.broken) == (200, first.call, True)
            assert b"HTTP/1.1" not in got.body
