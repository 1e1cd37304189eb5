"""Models whose provider speaks another format than the client: converted next to the provider, once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from luthien_stream.config.model import FormatName, ModelRoute, Provider
from luthien_stream.core.sse import data_of
from luthien_stream.events import log
from luthien_stream.events.answer import ALL, Event, Text, ToolCall
from luthien_stream.formats import LENSES
from luthien_stream.policy.api import Policy
from luthien_stream.policy.context import Context
from luthien_stream.policy.gate import gate
from luthien_stream.policy.stream import Events
from luthien_stream.policy.verdicts import Allow, Deny, Verdict
from luthien_stream.testing.provider import FakeProvider
from tests.integration.edge_ends import ended, message
from tests.integration.edge_rig import FORMATS, Got, Rig, request_body, running
from tests.wait import wait_until

PROVIDER_KEY = "sk-provider-canary-77"
PAIRS = [(client, provider) for client in FORMATS for provider in FORMATS if client != provider]
TOOL = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}


class Shout(Policy):
    """Changes every text."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield texts in capitals."""
        async for event in events:
            yield event.with_text(event.text.upper()) if isinstance(event, Text) else event


@gate("read_file")
async def nothing_allowed(call: ToolCall, ctx: Context) -> Verdict:
    """Deny all calls."""
    return Deny("no") if call.name else Allow()


@asynccontextmanager
async def converting(provider: FormatName, *policies: Policy, **config: Any) -> AsyncIterator[Rig]:
    """A gateway whose models are all at a provider of this format, paid with the gateway's key."""
    async with FakeProvider(key=PROVIDER_KEY) as fake:
        there = Provider(base_url=base(fake, provider), format=provider, api_key=PROVIDER_KEY)
        config.setdefault("models", (ModelRoute("*", "there/*"),))
        async with running(*policies, providers={"there": there}, **config) as rig:
            rig.provider = fake
            yield rig


def base(fake: FakeProvider, format: str) -> str:
    """The base URL as the vendor's own SDK wants it."""
    return fake.url if format == "anthropic_messages" else f"{fake.url}/v1"


def tools(format: str) -> dict[str, Any]:
    """A tool in the format's own words."""
    if format == "anthropic_messages":
        return {"tools": [{"name": "read_file", "description": "Reads", "input_schema": TOOL}]}
    function = {"name": "read_file", "description": "Reads", "parameters": TOOL}
    if format == "openai_responses":
        return {"tools": [{"type": "function", **function}]}
    return {"tools": [{"type": "function", "function": function}]}


def said(got: Got, format: str, *, stream: bool) -> tuple[str, list[tuple[str, str]]]:
    """The text and the tool calls of an answer."""
    lens = LENSES[format]
    decoder = lens.decoder(ALL) if stream else lens.body_decoder()
    items = [item for frame in (got.frames if stream else [got.body]) for item in decoder.frame(frame)]
    items += decoder.close()
    text = "".join(item.text for item in items if isinstance(item, Text))
    return text, [(item.name, item.arguments) for item in items if isinstance(item, ToolCall)]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("client", "provider"), PAIRS)
@pytest.mark.parametrize("model", ["text-20", "tools", "parallel-tools-3", "thinking-5", "unicode"])
async def test_the_client_gets_what_the_provider_said(
    client: FormatName, provider: FormatName, model: str, stream: bool
) -> None:
    """Text and tool calls are the same as from a provider of its own format, and the answer is well-formed."""
    async with converting(provider) as rig, running() as plain:
        got = await rig.ask(model, client, stream=stream, fields=tools(client))
        assert got.status == 200
        own = await plain.ask(model, client, stream=stream, fields=tools(client))
        (text, calls), (own_text, own_calls) = (said(one, client, stream=stream) for one in (got, own))
        assert text == own_text
        assert [(name, json.loads(arguments)) for name, arguments in calls] == [
            (name, json.loads(arguments)) for name, arguments in own_calls
        ]
        if stream:
            checker = LENSES[client].checker()
            assert [found for frame in got.frames for found in checker.frame(frame)] == []
        seen = rig.provider.requests[0]
        assert PROVIDER_KEY in str(seen.headers)
        assert "canary-42" not in str(seen.headers)


@pytest.mark.parametrize(("client", "provider"), PAIRS)
async def test_both_what_came_and_what_was_made_of_it_are_on_record(client: FormatName, provider: FormatName) -> None:
    """The original lane is in the client's format; the provider's own frames lie beside it."""
    async with converting(provider) as rig:
        got = await rig.ask("text-20", client)
        await ended(rig, got.call)
        lanes: dict[str, bytes] = {}
        for _, src, event in await rig.events(got.call):
            if isinstance(event, log.ChunkReceived):
                lanes[src.partition(":")[0]] = lanes.get(src.partition(":")[0], b"") + event.frame
        assert lanes == {"edge": got.body, "provider": b"".join(rig.provider.requests[0].sent)}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("client", "provider"), PAIRS)
async def test_policies_see_the_clients_format(client: FormatName, provider: FormatName, stream: bool) -> None:
    """They change and deny as ever."""
    async with converting(provider, Shout(), nothing_allowed) as rig:
        got = await rig.ask("tools", client, stream=stream, fields=tools(client))
        text, calls = said(got, client, stream=stream)
        assert calls == []
        assert text == "I LOOK THAT UP FOR YOU.\n\nA policy blocked this tool call."


@pytest.mark.parametrize(("client", "provider"), PAIRS)
async def test_a_providers_error_is_told_in_the_clients_words(client: FormatName, provider: FormatName) -> None:
    """Status, message and retry-after stay."""
    async with converting(provider) as rig:
        for status in (400, 401, 429, 503, 529):
            got = await rig.ask(f"error-{status}", client)
            assert got.status == status
            assert "what the model name asks for" in message(got)
            body = json.loads(got.body)
            assert (body.get("type") == "error") == (client == "anthropic_messages")
            assert ("retry-after" in got.headers) == (status in (429, 529))


@pytest.mark.parametrize(("client", "provider"), PAIRS)
@pytest.mark.parametrize("model", ["cut-5", "break-5", "reset-5", "error-frame-5"])
@pytest.mark.parametrize("policies", [(), (Shout(),)])
async def test_a_broken_answer_is_never_a_clean_end(
    client: FormatName, provider: FormatName, model: str, policies: tuple[Policy, ...]
) -> None:
    """An error in the client's dialect and a broken connection, or the provider's own error in its words."""
    async with converting(provider, *policies) as rig:
        got = await rig.ask(model, client)
        last = json.loads(data_of(got.frames[-1]) or b"{}")
        assert "error" in last or last.get("type") in ("error", "response.failed")
        assert b"message_stop" not in got.body
        assert b"[DONE]" not in got.body
        assert (await ended(rig, got.call))["final"] in ("upstream_cut", "upstream_protocol", "provider_error", "")


@pytest.mark.parametrize(("client", "provider"), PAIRS)
async def test_what_cannot_be_carried_over_is_refused_by_name(client: FormatName, provider: FormatName) -> None:
    """400 before the provider is asked."""
    async with converting(provider) as rig:
        got = await rig.ask("text-3", client, fields={"a_field_of_tomorrow": {"x": 1}})
        assert (got.status, "a_field_of_tomorrow" in message(got)) == (400, True)
        assert not rig.provider.requests
        assert (await ended(rig, got.call))["final"] == "request_invalid"
        got = await rig.ask("text-3", client)
        assert got.status == 200


async def test_a_fallback_may_speak_another_format() -> None:
    """The client does not notice."""
    async with FakeProvider() as first, FakeProvider(key=PROVIDER_KEY) as second:
        providers = {
            "first": Provider(base_url=first.url, format="anthropic_messages", passthrough=True),
            "second": Provider(base_url=base(second, "openai_chat"), format="openai_chat", api_key=PROVIDER_KEY),
        }
        models = (ModelRoute("m", "first/error-529", fallbacks=("second/text-20",)),)
        async with running(providers=providers, models=models) as rig:
            got = await rig.ask("m")
            assert got.status == 200
            assert b"message_stop" in got.body
            (switched,) = await rig.all(got.call, log.UpstreamSwitched)
            assert (switched.provider, switched.model) == ("second", "text-20")


async def test_tokens_cannot_be_counted_by_a_provider_of_another_format() -> None:
    """A clear answer; clients estimate then."""
    async with converting("openai_chat") as rig:
        body = json.dumps(request_body("text-3")).encode()
        got = await rig.send("POST", "/v1/messages/count_tokens", data=body, headers={"x-api-key": "k" * 20})
        assert (got.status, "count_tokens" in message(got)) == (404, True)
        await wait_until(lambda: not rig.edge.calls)
