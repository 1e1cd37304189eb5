"""`GET /luthien/api/tail`: events, ids, coming back, filters, gaps, bounds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from luthien_stream.bus import connect
from luthien_stream.bus.ids import following
from luthien_stream.bus.memory import MemoryBus
from luthien_stream.bus.port import Bus
from luthien_stream.edge import tailing
from luthien_stream.edge.tailing import Tailing
from luthien_stream.events.log import AnyEvent, ChunkReceived, RequestReceived, Slip, VerdictReached
from luthien_stream.events.pack import encode
from tests.wait import wait_until

A = "ls:{a}:inbox"


class Api:
    """The endpoint on a port of its own, and a log to write to."""

    def __init__(self, bus: Bus, url: str, client: aiohttp.ClientSession, tailing: Tailing) -> None:
        self.bus, self.url, self.client, self.tailing = bus, url, client, tailing
        self._numbers = count()

    async def write(self, *events: AnyEvent) -> list[str]:
        """Append each as an entry; return their ids."""
        await self.bus.register_stream(A, recorded=False)
        return [await self.bus.append(A, encode("edge:e1", [event])) for event in events]

    async def call(self, id: str, model: str, chunks: int = 2) -> list[str]:
        """A request, chunks and a verdict."""
        request = RequestReceived(
            call=id, n=0, edge="e1", slip=Slip(), format="openai_chat", path="/", body=b"{}", model=model
        )
        said = [ChunkReceived(call=id, n=n + 1, frame=b"x") for n in range(chunks)]
        return await self.write(request, *said, VerdictReached(call=id, n=9, policy="p", kind="deny"))

    @asynccontextmanager
    async def tail(self, mark: str = "", **query: str) -> AsyncIterator[Stream]:
        """Subscribe."""
        headers = {"last-event-id": mark} if mark else {}
        async with self.client.get(self.url, params=query, headers=headers) as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "text/event-stream"
            yield Stream(response)

    async def refusal(self, **query: str) -> tuple[int, str]:
        """What is said to a subscriber who is not let in."""
        async with self.client.get(self.url, params=query) as response:
            return response.status, (await response.json())["error"]


class Stream:
    """Server-sent events as they come."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.mark = ""

    async def raw(self) -> dict[str, str]:
        """The next block: its fields, a comment under the empty name."""
        async with asyncio.timeout(10):
            block = (await self.response.content.readuntil(b"\n\n")).decode()
        parts = [line.partition(": ") for line in block.split("\n") if line]
        found = {name: value for name, _, value in parts}
        self.mark = found.get("id", self.mark)
        return found

    async def next(self) -> tuple[str, Any]:
        """The next event: its name and its data."""
        while "data" not in (found := await self.raw()):
            pass
        return found.get("event", "message"), json.loads(found["data"])

    async def types(self, number: int) -> list[str]:
        """The types of that many events of the log."""
        return [(await self.next())[1]["type"] for _ in range(number)]


@pytest.fixture(params=["memory", "valkey"])
async def api(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """Served until the test has ended."""
    bus: Bus = MemoryBus() if request.param == "memory" else connect(request.getfixturevalue("valkey_url"))
    serving = Tailing(bus)
    app = web.Application()
    app.router.add_get("/luthien/api/tail", serving.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/luthien/api/tail"
    async with aiohttp.ClientSession() as client:
        yield Api(bus, url, client, serving)
    await runner.cleanup()
    await bus.close()


async def test_events_come_in_their_public_form_and_a_stream_resumes_behind_the_last(api: Api) -> None:
    """As CloudEvents with ids; with `Last-Event-ID` nothing is repeated and nothing is missing."""
    async with api.tail(since="1h") as stream:
        assert (await stream.raw()) == {"retry": "1000"}
        await api.call("c1", "m-1")
        name, first = await stream.next()
        assert (name, first["type"], first["correlationid"]) == ("message", "request.received", "c1")
        assert await stream.types(1) == ["chunk.received"]
    async with api.tail(stream.mark) as again:
        assert await again.types(2) == ["chunk.received", "verdict.reached"]
        await api.call("c2", "m-1", chunks=0)
        assert await again.types(2) == ["request.received", "verdict.reached"]
    async with api.tail(last_event_id=stream.mark, view="verdicts") as by_query:
        assert [(await by_query.next())[1]["correlationid"] for _ in range(2)] == ["c1", "c2"]


async def test_views_and_filters_are_applied_by_the_server(api: Api) -> None:
    """In the language of `tail`; what is known of a call only from its beginning is known after a return too."""
    await api.call("c1", "m-1")
    await api.call("c2", "other")
    async with api.tail(since="1h", view="chunks", filter="~m m-*") as stream:
        seen = [(await stream.next())[1] for _ in range(2)]
        assert {each["correlationid"] for each in seen} == {"c1"}
    async with api.tail(stream.mark, view="verdicts", filter="~m m-*") as again:
        assert (await again.next())[1]["correlationid"] == "c1"
    async with api.tail(since="1h", call="c2", type="request.*") as one:
        assert (await one.next())[1]["data"]["model"] == "other"


async def test_a_gap_is_told_with_its_size(api: Api) -> None:
    """What was trimmed while a subscriber was away, before the first event behind it."""
    async with api.tail(since="1h") as stream:
        await api.call("c1", "m-1")
        await stream.types(4)
    ids = await api.call("c2", "m-1", chunks=8)
    await api.bus.trim_stream(A, ids[7], max_age_ms=3_600_000)
    async with api.tail(stream.mark) as again:
        assert await again.next() == (
            "gap", {"stream": A, "after": again_after(stream.mark), "before": ids[7], "entries": 7}
        )  # fmt: skip
        assert len(await again.types(3)) == 3
    await api.bus.trim_stream(A, following(ids[-1]), max_age_ms=3_600_000)
    async with api.tail(stream.mark, filter="~m m-*") as filtered:
        assert (await filtered.next())[0] == "gap"
        await api.write(VerdictReached(call="c2", n=10, policy="p", kind="deny"))
        assert await filtered.next() == ("undecided", {"call": "c2"})


def again_after(mark: str) -> str:
    """The entry in a mark."""
    ms, _, sequence, *_ = mark.split("-")
    return f"{int(ms)}-{int(sequence)}"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"view": "all"}, "'all' is no view: events, calls, chunks, verdicts"),
        ({"filter": "~z x"}, "~z"),
        ({"filter": "~b secret"}, "recorded calls only"),
        ({"since": "yesterday"}, "is no time: write 10m"),
        ({"since": "9" * 400 + "d"}, "is no time"),
        ({"filter": "!" * 3000 + "~m x"}, "more parentheses or !"),
        ({"last_event_id": "17"}, "no id of an event"),
        ({"model_name": "x"}, "'model_name' is no parameter of this stream: view, filter"),
    ],
)
async def test_what_cannot_be_understood_is_refused_by_name(api: Api, query: dict[str, str], said: str) -> None:
    """With 400 and what would be understood."""
    status, error = await api.refusal(**query)
    assert status == 400
    assert said in error


async def test_an_event_from_no_calendar_breaks_no_stream(api: Api) -> None:
    """A stage that writes nanoseconds: the event comes without its time."""
    async with api.tail(since="1h") as stream:
        await api.write(ChunkReceived(call="c", n=1, time=10**18, frame=b""), ChunkReceived(call="c", n=2, frame=b""))
        first, second = (await stream.next())[1], (await stream.next())[1]
        assert ("time" in first, first["sequence"][-1], second["sequence"][-1]) == (False, "1", "2")


async def test_subscribers_are_counted_and_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is told so; when one has gone, another may come, though nothing was written meanwhile."""
    monkeypatch.setattr(tailing, "SUBSCRIBERS", 2)
    async with api.tail() as one:
        await one.raw()
        async with api.tail() as two:
            await two.raw()
            status, error = await api.refusal()
            assert (status, error[:15]) == (503, "2 tails are ope")
        await wait_until(lambda: api.tailing.subscribers == 1)
        async with api.tail() as two:
            await two.raw()
    await wait_until(lambda: api.tailing.subscribers == 0)


async def test_a_quiet_stream_shows_that_it_lives(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment now and then; after events that did not fit it carries the place behind them."""
    monkeypatch.setattr(tailing, "ALIVE_S", 0.05)
    async with api.tail(view="verdicts") as stream:
        await stream.raw()
        assert await stream.raw() == {"": "alive"}
        ids = await api.write(ChunkReceived(call="c", n=1, frame=b""))

        async def has_passed() -> bool:
            await stream.raw()
            return bool(stream.mark)

        await wait_until(has_passed)
        assert again_after(stream.mark) == ids[0]


async def test_a_subscriber_that_takes_nothing_is_left(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds no more than what is on its way, and after a while it loses its place; the log says why."""
    monkeypatch.setattr(tailing, "WRITE_S", 0.3)
    frame = b"x" * 200_000
    with capture_logs() as logs:
        async with api.tail(since="1h") as stream:
            assert await stream.raw()
            await api.write(*(ChunkReceived(call="c", n=n, frame=frame) for n in range(100)))
            await wait_until(lambda: api.tailing.subscribers == 0, timeout=20)
    assert [each["why"] for each in logs if each["event"] == "tail_left"] == ["nothing was taken for 0.3 s"]
