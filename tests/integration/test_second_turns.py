"""The second turn: whatever a policy did to an answer, it comes back verbatim and the provider takes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import anthropic
import openai
import pytest

from luthien_stream.config.model import FormatName, ModelRoute, Provider
from luthien_stream.policy import Policy
from luthien_stream.testing.provider import FakeProvider
from tests.integration.edge_rig import Rig, both_formats, running
from tests.integration.turns.answers import ANSWERS, CHAT, FORMATS
from tests.integration.turns.clients import GO_ON, KEY, RESULT, conversing
from tests.integration.turns.interventions import INTERVENTIONS
from tests.unit.formats.convert.pairs import PAIRS, model_for

OUTCOMES = {"tool_use", "tool_calls"}
OTHER_ENDS = {"length", "refusal"}
"""Answers whose own reason stays, whatever a policy adds."""
CONVERTED = (
    *("nothing", "text edited", "text before", "text between", "text after", "text replaced", "text dropped"),
    *("first call denied", "last call denied", "all calls denied", "arguments rewritten", "call added"),
    *("thinking dropped", "all dropped", "stopped in text", "stopped in thinking", "stopped at a call"),
)
"""What is done to answers of another format too: conversion comes before, and knows nothing of it."""
OFTEN = {"text edited", "first call denied", "stopped in thinking"}
"""What is tried with each run of the tests; the rest takes a minute."""
KINDS = ("text", "only tools", "thinking", "thinking and tools", "thinking, then tools", "refusal")


@asynccontextmanager
async def strict(*policies: Policy) -> AsyncIterator[Rig]:
    """A gateway in front of a provider that refuses what the vendors refuse."""
    async with FakeProvider(rules=True) as fake, running(*policies, providers={"fake": both_formats(fake.url)}) as rig:
        rig.provider = fake
        yield rig


@asynccontextmanager
async def strict_in(provider: FormatName, *policies: Policy) -> AsyncIterator[Rig]:
    """The same where the provider speaks this format only, and is paid by the gateway."""
    async with FakeProvider(rules=True) as fake:
        there = Provider(base_url=fake.url + "/v1" * (provider != "anthropic_messages"), format=provider, api_key=KEY)
        models = (ModelRoute("*", "there/*"),)
        async with running(*policies, providers={"there": there}, models=models) as rig:
            rig.provider = fake
            yield rig


async def two_turns(rig: Rig, form: str, provider: str, kind: str, *, stream: bool) -> None:
    """A conversation whose first answer is of this kind, and whose second was given. Raises the SDK's errors."""
    rig.provider.requests.clear()
    rig.provider.script(ANSWERS[kind][provider], "text-3")
    thinks = "thinking" in kind
    async with conversing(form, rig.url, model_for(provider), stream=stream, thinks=thinks) as conversation:
        await conversation.ask()
        if form != "openai_responses" and kind not in OTHER_ENDS:
            assert (conversation.reason in OUTCOMES) == bool(conversation.calls)
        called = bool(conversation.calls)
        await conversation.ask()
        last = rig.provider.requests[-1].body
        assert (RESULT.encode() if called else GO_ON["content"].encode()) in last


async def spoiled(rig: Rig, form: str, provider: str, kinds: Iterable[str]) -> dict[tuple[str, bool], str]:
    """Why second turns were refused, by the kind of the first answer and whether it was streamed."""
    found = {}
    for kind in (kind for kind in kinds if provider in ANSWERS[kind]):
        for stream in (True, False):
            try:
                await two_turns(rig, form, provider, kind, stream=stream)
            except (anthropic.APIError, openai.APIError) as error:
                found[kind, stream] = str(error)
    return found


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", INTERVENTIONS)
async def test_no_intervention_spoils_the_next_turn(name: str, form: str) -> None:
    """The provider takes what it is sent back, whatever it had said."""
    async with strict(INTERVENTIONS[name]) as rig:
        assert await spoiled(rig, form, form, ANSWERS) == {}


@pytest.mark.parametrize(("client", "provider"), PAIRS)
@pytest.mark.parametrize(
    "name", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.long) for name in CONVERTED]
)
async def test_nor_does_one_in_another_format(name: str, client: str, provider: FormatName) -> None:
    """The provider takes what is made of what it is sent back."""
    async with strict_in(provider, INTERVENTIONS[name]) as rig:
        assert await spoiled(rig, client, provider, KINDS) == {}


@pytest.mark.parametrize(("client", "provider"), [pair for pair in PAIRS if pair[1] != CHAT])
@pytest.mark.parametrize("stream", [True, False])
async def test_thoughts_come_back_to_their_provider(client: str, provider: FormatName, stream: bool) -> None:
    """With what it signed them with, through a client that knows nothing of that."""
    async with strict_in(provider, INTERVENTIONS["text edited"]) as rig:
        await two_turns(rig, client, provider, "thinking and tools", stream=stream)
        sealed = b"c2ln0" if provider == "anthropic_messages" else b'"encrypted_content":"c2ln"'
        assert sealed in rig.provider.requests[1].body.replace(b": ", b":")
