"""A provider that fails before any content: asked again, or another one is; the client sees one answer only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from luthien_stream.config.model import ModelRoute, Provider
from luthien_stream.core.lens import Request
from luthien_stream.events import log
from luthien_stream.policy.api import Policy
from luthien_stream.policy.context import Context
from luthien_stream.testing.provider import FakeProvider
from tests.integration.edge_ends import ended, message
from tests.integration.edge_rig import KEY, Rig, both_formats, running
from tests.integration.test_edge_faults import PassOn
from tests.wait import wait_until

WAYS = pytest.mark.parametrize("policies", [(), (PassOn(),)], ids=["relayed", "policed"])
FORMAT = "anthropic_messages"


@pytest.fixture
async def other() -> AsyncIterator[FakeProvider]:
    """A second provider."""
    async with FakeProvider() as fake:
        yield fake


def with_retries(other: FakeProvider, retries: int, **more: int) -> dict[str, Provider]:
    """The provider that every model goes to."""
    return {"it": both_formats(other.url, retries=retries, **more)}


@WAYS
@pytest.mark.parametrize("stream", [True, False])
async def test_a_provider_that_fails_before_content_is_asked_again(
    other: FakeProvider, policies: tuple[Policy, ...], stream: bool
) -> None:
    """The client gets the good answer as if nothing had been; the log of the call has one answer."""
    async with running(*policies, providers=with_retries(other, 2)) as rig:
        other.script("error-503", "error-503", "text-5")
        got = await rig.ask("text-9", stream=stream)
        assert (got.status, got.body) == (200, b"".join(other.requests[2].sent))
        assert len({seen.body for seen in other.requests}) == 1
        await wait_until(lambda: rig.delivered(got.call))
        source = "edge"
        started = [e for _, src, e in await rig.events(got.call) if type(e) is log.ResponseStarted and source in src]
        assert [event.status for event in started] == [200]


@WAYS
async def test_the_last_error_reaches_the_client_untouched(other: FakeProvider, policies: tuple[Policy, ...]) -> None:
    """Status, body and headers of the last attempt."""
    async with running(*policies, providers=with_retries(other, 1)) as rig:
        other.script("error-500", "error-529", "text-5")
        got = await rig.ask("text-9")
        assert (got.status, got.body, got.headers["retry-after"]) == (529, other.requests[1].sent[0], "1")
        assert len(other.requests) == 2


@pytest.mark.parametrize("model", ["error-400", "error-401", "error-404"])
async def test_a_request_at_fault_is_sent_once(other: FakeProvider, model: str) -> None:
    """Another try would be answered the same."""
    async with running(providers=with_retries(other, 2)) as rig:
        got = await rig.ask(model)
        assert got.status == int(model[-3:])
        assert len(other.requests) == 1


async def test_without_retries_the_client_has_its_providers_error_at_once(other: FakeProvider) -> None:
    """The default: clients retry by themselves, and two who do so multiply."""
    async with running(providers={"it": both_formats(other.url)}) as rig:
        assert (await rig.ask("error-429")).status == 429
        assert len(other.requests) == 1


@WAYS
async def test_a_connection_lost_before_the_answer_is_tried_again(policies: tuple[Policy, ...]) -> None:
    """Here a server that closes each connection without a word, and one that is not there."""
    taken = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        taken += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with running(*policies, providers={"it": both_formats(url, retries=1)}) as rig:
            got = await rig.ask("text-3")
            assert (got.status, taken) == (502, 2)
            assert (await ended(rig, got.call))["final"] == "upstream_cut"


async def test_nothing_is_asked_again_once_content_has_come(other: FakeProvider) -> None:
    """The break is the client's to see."""
    async with running(providers=with_retries(other, 2)) as rig:
        other.script("break-3", "text-5")
        assert (await rig.ask("text-9")).broken
        assert len(other.requests) == 1


async def test_a_client_that_leaves_ends_the_retries(other: FakeProvider) -> None:
    """In the pause between two."""
    async with running(providers=with_retries(other, 5)) as rig:
        other.script(*["error-429"] * 9)
        asking = asyncio.create_task(rig.ask("text-9"))
        await wait_until(lambda: bool(other.requests) and other.requests[0].ended == "complete")
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await wait_until(lambda: not rig.edge.calls)
        assert len(other.requests) == 1


def rule(*fallbacks: str, to: str = "fake/error-503") -> tuple[ModelRoute, ...]:
    """One model `m`, whose first provider is `to`."""
    return (ModelRoute("m", to, fallbacks=fallbacks),)


@WAYS
@pytest.mark.parametrize("to", ["fake/error-429", "fake/error-503", "fake/error-404", "gone/x", "slow/never"])
async def test_a_fallback_answers_instead_on_record(other: FakeProvider, policies: tuple[Policy, ...], to: str) -> None:
    """With its own model, and an event that says why."""
    async with FakeProvider() as fake:
        providers = {
            "fake": both_formats(fake.url),
            "gone": both_formats("http://127.0.0.1:1"),
            "slow": both_formats(fake.url, timeout_s=0.2),
            "other": both_formats(other.url),
        }
        async with running(*policies, providers=providers, models=rule("other/text-7", to=to)) as rig:
            got = await rig.ask("m")
            assert (got.status, got.body) == (200, b"".join(other.requests[0].sent))
            assert other.requests[0].json["model"] == "text-7"
            switched = await rig.one(got.call, log.UpstreamSwitched)
            assert (switched.provider, switched.model) == ("other", "text-7")
            assert to.partition("/")[0] in switched.why
            await wait_until(lambda: rig.delivered(got.call))
            started = (await rig.all(got.call, log.ResponseStarted))[0]
            assert (started.provider, started.model) == ("other", "text-7")


@WAYS
async def test_when_all_fail_the_last_ones_error_is_the_clients(
    other: FakeProvider, policies: tuple[Policy, ...]
) -> None:
    """Each was asked, in order."""
    async with FakeProvider() as fake:
        providers = {"fake": both_formats(fake.url, retries=1), "other": both_formats(other.url)}
        async with running(*policies, providers=providers, models=rule("other/error-429", "other/error-529")) as rig:
            fake.script("error-500", "error-500")
            got = await rig.ask("m")
            assert (got.status, got.body) == (529, other.requests[1].sent[0])
            assert [seen.json["model"] for seen in fake.requests] == ["error-503"] * 2
            assert [event.model for event in await rig.all(got.call, log.UpstreamSwitched)] == [
                "error-429",
                "error-529",
            ]


async def test_a_fallback_that_the_clients_credential_is_not_for_is_left_out(other: FakeProvider) -> None:
    """It speaks another format and has no key: the first provider's error stands."""
    chat = Provider(base_url=other.url, format="openai_chat", passthrough=True)
    async with FakeProvider() as fake:
        providers = {"fake": both_formats(fake.url), "chat": chat}
        async with running(providers=providers, models=rule("chat/text-3")) as rig:
            got = await rig.ask("m")
            assert (got.status, got.body) == (503, fake.requests[0].sent[0])
            assert not other.requests


async def refused(rig: Rig) -> tuple[int, str]:
    """How a client that speaks Anthropic's format is answered for the model `m`."""
    got = await rig.ask("m")
    return got.status, message(got)


async def test_a_provider_that_only_the_clients_credential_could_open_is_not_asked_in_another_format(
    other: FakeProvider,
) -> None:
    """401 with what to configure."""
    provider = Provider(base_url=other.url, format="openai_chat", passthrough=True)
    async with running(providers={"it": provider}, models=rule(to="it/text-3")) as rig:
        status, words = await refused(rig)
        assert (status, "providers.it.api_key" in words) == (401, True)
        assert not other.requests


class Elsewhere(Policy):
    """Sends every request to another model."""

    async def request(self, request: Request, ctx: Context) -> Request:
        """Name it."""
        return request.set_model("other/text-3")


async def test_a_policy_may_choose_a_model_of_another_provider(other: FakeProvider) -> None:
    """It gets its own key, and not the client's; nobody sees that key."""
    async with FakeProvider() as fake:
        paid = Provider(base_url=other.url, format=("anthropic_messages", "openai_chat"), api_key="other-canary-key")
        async with running(Elsewhere(), providers={"fake": both_formats(fake.url), "other": paid}) as rig:
            got = await rig.ask("error-echo")
            assert (got.status, got.body) == (200, b"".join(other.requests[0].sent))
            assert other.requests[0].headers["x-api-key"] == "other-canary-key"
            assert KEY not in str(other.requests[0].headers)
            assert not fake.requests
            await wait_until(lambda: rig.delivered(got.call))
            assert (await rig.all(got.call, log.ResponseStarted))[0].provider == "other"
            assert b"other-canary-key" not in await rig.dump()
