"""Responses that a client names later: by `previous_response_id`, `GET` and `DELETE /v1/responses/{id}`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest

from luthien_stream.bus.memory import MemoryBus
from luthien_stream.config.model import ModelRoute, Provider
from luthien_stream.core.lens import Request
from luthien_stream.events.answer import Event, Text
from luthien_stream.policy.api import Policy, Refuse
from luthien_stream.policy.context import Context
from luthien_stream.policy.stream import Events
from luthien_stream.testing.provider import FakeProvider
from tests.faulty import FaultyBus
from tests.integration.edge_rig import KEY, Got, Rig, running
from tests.wait import wait_until

HEADERS = {"authorization": f"Bearer {KEY}"}


class PassOn(Policy):
    """Sees everything and changes nothing."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield what comes."""
        async for event in events:
            yield event


class Shout(Policy):
    """Changes every text."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield texts in capitals."""
        async for event in events:
            yield event.with_text(event.text.upper()) if isinstance(event, Text) else event


class Reads(Policy):
    """Needs whole conversations and changes nothing."""

    needs: ClassVar[frozenset[str]] = frozenset({"history"})
    seen: ClassVar[list[int]] = []

    async def request(self, request: Request, ctx: Context) -> Request:
        """Count the messages."""
        self.seen.append(len(request.messages))
        return request


class RefusesOnce(Policy):
    """Refuses what has a certain word in it."""

    async def request(self, request: Request, ctx: Context) -> Request:
        """Look at the newest message."""
        if "forbidden" in str(request.messages[-1]):
            raise Refuse("Not that.")
        return request

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield what comes."""
        async for event in events:
            yield event


async def turn(rig: Rig, text: str, previous: str = "", *, stream: bool = True, **fields: Any) -> tuple[Got, Any]:
    """One turn as the vendor's SDK asks it; returns the answer, and the response in it."""
    body = {"model": f"text-{len(text)}", "input": text, "stream": stream, **fields}
    if previous:
        body["previous_response_id"] = previous
    got = await rig.send("POST", "/v1/responses", json=body, headers={**HEADERS, **fields.pop("headers", {})})
    if got.status != 200:
        return got, json.loads(got.body)["error"]
    if not stream:
        return got, json.loads(got.body)
    return got, json.loads(got.frames[-1].split(b"data: ", 1)[1])["response"]


def texts(items: list[Any]) -> list[str]:
    """The text of each message."""
    return [one if isinstance(one := item["content"], str) else one[0]["text"] for item in items]


@pytest.mark.parametrize("stream", [True, False])
async def test_without_policies_the_provider_keeps_the_history(stream: bool) -> None:
    """The gateway has no part in it: requests, stored responses and their end pass as they are."""
    async with running() as rig:
        _, first = await turn(rig, "one", stream=stream)
        _, second = await turn(rig, "two", first["id"], stream=stream)
        assert rig.provider.requests[1].json["previous_response_id"] == first["id"]
        got = await rig.send("GET", f"/v1/responses/{second['id']}", headers=HEADERS)
        assert (got.status, json.loads(got.body)["id"]) == (200, second["id"])
        gone = await rig.send("DELETE", f"/v1/responses/{second['id']}", headers=HEADERS)
        assert (gone.status, json.loads(gone.body)["deleted"]) == (200, True)
        assert (await rig.send("GET", f"/v1/responses/{second['id']}", headers=HEADERS)).status == 404
        got, error = await turn(rig, "three", "resp_unknown")
        assert (got.status, error["code"]) == (400, "previous_response_not_found")
        assert len(rig.provider.requests) == 6


@pytest.mark.parametrize("stream", [True, False])
async def test_what_was_delivered_is_the_history(stream: bool) -> None:
    """Where a policy changed the answer, the next turns have the items of the record, not the id."""
    async with running(Shout()) as rig:
        _, first = await turn(rig, "one", stream=stream)
        _, second = await turn(rig, "two", first["id"], stream=stream)
        await turn(rig, "three", second["id"], stream=stream)
        sent = [seen.json for seen in rig.provider.requests]
        assert [body.get("previous_response_id") for body in sent] == [None, None, None]
        said = texts(first["output"])[0]
        assert said == said.upper()
        assert texts(sent[1]["input"]) == ["one", said, "two"]
        assert texts(sent[2]["input"]) == ["one", said, "two", texts(second["output"])[0], "three"]


async def test_an_item_that_is_only_named_is_sent_as_it_was_delivered() -> None:
    """Not as the provider has it; one that is not on record, or another caller's, is refused by its place."""
    async with running(Shout()) as rig:
        _, first = await turn(rig, "one")
        named = {"type": "item_reference", "id": first["output"][0]["id"]}
        given = [{"role": "user", "content": "one"}, named, {"role": "user", "content": "two"}]
        _, second = await turn(rig, given)  # type: ignore[arg-type]
        said = texts(first["output"])[0]
        assert texts(rig.provider.requests[1].json["input"]) == ["one", said, "two"]
        await turn(rig, "three", second["id"])
        assert texts(rig.provider.requests[2].json["input"])[:3] == ["one", said, "two"]
        for item, headers in ((named, {"x-api-key": KEY}), ({"id": "msg_unknown"}, HEADERS)):
            body = {"model": "text-3", "input": [item]}
            got = await rig.send("POST", "/v1/responses", json=body, headers=headers)
            assert (got.status, json.loads(got.body)["error"]["param"]) == (400, "input[0]")
        assert len(rig.provider.requests) == 3
    async with running() as rig:
        assert (await turn(rig, [{"type": "item_reference", "id": "msg_x"}]))[0].status == 200  # type: ignore[arg-type]


async def test_an_answer_that_nobody_changed_is_the_providers_own_history() -> None:
    """The id passes."""
    async with running(PassOn()) as rig:
        _, first = await turn(rig, "one")
        await turn(rig, "two", first["id"])
        assert rig.provider.requests[1].json["previous_response_id"] == first["id"]


async def test_a_policy_that_needs_history_gets_it() -> None:
    """Although nothing was changed."""
    Reads.seen.clear()
    async with running(Reads()) as rig:
        _, first = await turn(rig, "one")
        await turn(rig, "two", first["id"])
        assert texts(rig.provider.requests[1].json["input"]) == ["one", texts(first["output"])[0], "two"]
        assert Reads.seen == [1, 3]


async def test_a_refusal_is_part_of_the_history() -> None:
    """The provider knows nothing of it; the client does."""
    async with running(RefusesOnce()) as rig:
        _, first = await turn(rig, "something forbidden")
        got, _ = await turn(rig, "two", first["id"])
        assert got.status == 200
        assert texts(rig.provider.requests[0].json["input"]) == ["something forbidden", "Not that.", "two"]
        gone = await rig.send("DELETE", f"/v1/responses/{first['id']}", headers=HEADERS)
        assert (gone.status, json.loads(gone.body)["deleted"]) == (200, True)
        assert len(rig.provider.requests) == 1


async def test_a_stored_response_is_what_was_delivered() -> None:
    """Never what the model said; its end is the end of both copies."""
    async with running(Shout()) as rig:
        _, first = await turn(rig, "one")
        got = await rig.send("GET", f"/v1/responses/{first['id']}", headers=HEADERS)
        assert (got.status, json.loads(got.body)) == (200, first)
        streamed = await rig.send("GET", f"/v1/responses/{first['id']}?stream=true", headers=HEADERS)
        assert (streamed.status, json.loads(streamed.body)["error"]["param"]) == (400, "stream")
        gone = await rig.send("DELETE", f"/v1/responses/{first['id']}", headers=HEADERS)
        assert (gone.status, json.loads(gone.body)["deleted"]) == (200, True)
        assert rig.provider.requests[-1].method == "DELETE"
        for method in ("GET", "DELETE"):
            got = await rig.send(method, f"/v1/responses/{first['id']}", headers=HEADERS)
            assert (got.status, json.loads(got.body)["error"]["type"]) == (404, "not_found_error")
        assert len(rig.provider.requests) == 2


@pytest.mark.parametrize("policies", [(Shout(),), (PassOn(),), (Reads(),)])
async def test_a_response_that_is_not_on_record_is_not_found(policies: tuple[Policy, ...]) -> None:
    """Unknown, not to be stored, or another caller's: all the same to who asks, and nothing reaches the provider."""
    async with running(*policies) as rig:
        _, mine = await turn(rig, "one")
        _, unstored = await turn(rig, "unstored", store=False)
        asked = len(rig.provider.requests)
        for previous, headers in [("resp_x", HEADERS), (unstored["id"], HEADERS), (mine["id"], {"x-api-key": KEY})]:
            body = {"model": "text-3", "input": "two", "previous_response_id": previous}
            got = await rig.send("POST", "/v1/responses", json=body, headers=headers)
            error = json.loads(got.body)["error"]
            assert (got.status, error["code"], error["param"]) == (
                400,
                "previous_response_not_found",
                "previous_response_id",
            )
        assert len(rig.provider.requests) == asked


@asynccontextmanager
async def converting() -> AsyncIterator[Rig]:
    """A gateway whose one provider knows nothing of responses."""
    async with FakeProvider() as fake:
        there = Provider(base_url=fake.url, format="anthropic_messages", api_key="sk-provider")
        async with running(providers={"there": there}, models=(ModelRoute("*", "there/*"),)) as rig:
            rig.provider = fake
            yield rig


@pytest.mark.parametrize("stream", [True, False])
async def test_a_provider_of_another_format_needs_the_whole_history(stream: bool) -> None:
    """The gateway keeps it, without any policy."""
    async with converting() as rig:
        _, first = await turn(rig, "one", stream=stream)
        got, _ = await turn(rig, "two", first["id"], stream=stream)
        assert got.status == 200
        roles = [message["role"] for message in rig.provider.requests[1].json["messages"]]
        assert roles == ["user", "assistant", "user"]
        got = await rig.send("GET", f"/v1/responses/{first['id']}", headers=HEADERS)
        assert json.loads(got.body) == first
        gone = await rig.send("DELETE", f"/v1/responses/{first['id']}", headers=HEADERS)
        assert json.loads(gone.body)["deleted"] is True


@pytest.mark.parametrize("option", [{"background": True}, {"conversation": "conv_1"}, {"prompt": {"id": "pmpt_1"}}])
async def test_what_no_policy_can_see_is_closed(option: dict[str, Any]) -> None:
    """By its name; open where no policy acts or it is opened by name."""
    async with running(PassOn()) as rig:
        got, error = await turn(rig, "one", **option)
        assert (got.status, next(iter(option)) in error["message"]) == (400, True)
        assert not rig.provider.requests
    async with running(PassOn(), unpoliced=tuple(option)) as rig:
        assert (await turn(rig, "one", **option))[0].status == 200
    async with running() as rig:
        assert (await turn(rig, "one", **option))[0].status == 200


class SlowToKeep(MemoryBus):
    """Takes responses only when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.told = asyncio.Event(), asyncio.Event()

    async def put_values(self, values: Mapping[str, bytes], *, ttl_ms: int) -> None:
        """Wait if there is a response among them."""
        if any(name.startswith("response:") for name in values):
            self.asked.set()
            await self.told.wait()
        await super().put_values(values, ttl_ms=ttl_ms)


async def test_a_client_that_has_its_answer_may_go_at_once() -> None:
    """The response is kept nevertheless: the next request names it."""
    bus = SlowToKeep()
    async with running(Shout(), bus=bus) as rig:
        asked = asyncio.create_task(turn(rig, "one"))
        await bus.asked.wait()
        asked.cancel()
        await wait_until(lambda: not rig.edge.calls)
        bus.told.set()
        id = json.loads(rig.provider.requests[0].sent[0].split(b"data: ", 1)[1])["response"]["id"]
        await wait_until(lambda: f"response:{id}" in rig.bus.data.values)
        got, _ = await turn(rig, "two", id)
        assert got.status == 200


@pytest.mark.parametrize("path", ["/v1/responses/resp_1", "/v1/calls/01a214d7-b24c-7068-bf8e-a29ea46e8d8a/stream"])
async def test_where_the_log_does_not_answer_nobody_is_told_where_it_is(path: str) -> None:
    """503, and when to ask again."""
    bus = FaultyBus(MemoryBus())
    async with running(bus=bus.bus) as rig:
        await rig.edge.directory.begin()
        bus.fail("get_value", "refused")
        got = await rig.send("GET", path, headers=HEADERS)
        assert (got.status, got.headers["retry-after"]) == (503, "2")
        assert "configuration" not in json.loads(got.body)["error"]["message"]
