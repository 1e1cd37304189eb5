"""Requests that no codec reads: they pass as they came where no policy acts, and are closed where one does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from urllib.parse import unquote

import pytest
import yarl

from luthien_stream.config.model import Auth, Key, ModelRoute
from luthien_stream.events import log
from luthien_stream.events.answer import Event
from luthien_stream.policy.api import Policy
from luthien_stream.policy.context import Context
from luthien_stream.policy.stream import Events
from luthien_stream.testing.provider import SPEECH
from tests.integration.edge_rig import KEY, Got, running
from tests.wait import wait_until

OPENAI = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
ANTHROPIC = {"x-api-key": KEY, "anthropic-version": "2023-06-01", "content-type": "application/json"}
COUNT = b'{"model": "text-1", "messages": [{"role": "user", "content": "How many?"}], "unknown_field": 1.0}'


class PassOn(Policy):
    """Takes part in the response and changes nothing."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield what comes."""
        async for event in events:
            yield event


class Idle(Policy):
    """Takes part in nothing."""


def says(got: Got) -> str:
    """The message of an error in either dialect."""
    return str(json.loads(got.body)["error"]["message"])


@pytest.mark.parametrize("policies", [(), (Idle(),), (PassOn(),)])
async def test_tokens_are_counted_by_the_provider(policies: tuple[Policy, ...]) -> None:
    """Also with policies: the answer is a number. The request passes as it is, and is on record."""
    async with running(*policies) as rig:
        got = await rig.send("POST", "/v1/messages/count_tokens?beta=true", data=COUNT, headers=ANTHROPIC)
        assert (got.status, json.loads(got.body)) == (200, {"input_tokens": len(COUNT) // 4})
        assert got.headers["request-id"].startswith("req_")
        seen = rig.provider.requests[0]
        assert (seen.body, seen.query, seen.headers["x-api-key"]) == (COUNT, "beta=true", KEY)
        await wait_until(lambda: rig.delivered(got.call))
        assert (await rig.one(got.call, log.RequestReceived)).path == "/v1/messages/count_tokens"
        bypassed = [event.why for event in await rig.all(got.call, log.PolicyBypassed)]
        assert bool(bypassed) == (policies == (PassOn(),))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/completions"),
        ("POST", "/v1/messages/batches"),
        ("GET", "/v1/files?limit=3"),
        ("DELETE", "/v1/files/file-1"),
        ("GET", "/v1/chat/completions/chatcmpl-1/messages"),
    ],
)
async def test_without_policies_any_path_is_the_providers(method: str, path: str) -> None:
    """Status, body and headers are its own; so is the request."""
    async with running() as rig:
        got = await rig.send(method, path, data=b'{"a": 1}' if method == "POST" else None, headers=OPENAI)
        assert got.status == 404
        assert says(got).startswith("No such path")
        seen = rig.provider.requests[0]
        assert (seen.method, seen.path, seen.query) == (method, path.partition("?")[0], path.partition("?")[2])
        assert got.headers["x-request-id"].startswith("req_8f2d")
        await wait_until(lambda: rig.delivered(got.call))


async def test_what_is_no_json_passes_and_is_not_recorded() -> None:
    """A form up, sound down."""
    async with running() as rig:
        form = b"--x\r\nContent-Disposition: form-data; name=f\r\n\r\nform-canary\r\n--x--\r\n"
        headers = {**OPENAI, "content-type": "multipart/form-data; boundary=x"}
        got = await rig.send("POST", "/v1/audio/speech", data=form, headers=headers)
        assert (got.status, got.body, got.headers["content-type"]) == (200, SPEECH, "audio/mpeg")
        assert rig.provider.requests[0].body == form
        assert b"form-canary" not in await rig.dump()


@pytest.mark.parametrize("headers", [OPENAI, ANTHROPIC])
async def test_with_policies_the_doors_are_closed(headers: dict[str, str]) -> None:
    """404 in the client's dialect, which says how to open it; nothing reaches the provider."""
    async with running(PassOn()) as rig:
        for method, path in [("POST", "/v1/batches"), ("GET", "/v1/files/1"), ("POST", "/v1/chat/completions/")]:
            got = await rig.send(method, path, data=b"{}", headers=headers)
            assert got.status == 404
            assert "unpoliced: [" in says(got)
            assert got.call
        assert not rig.provider.requests


async def test_a_door_is_opened_by_its_name_and_on_record() -> None:
    """The name is the beginning of the path, step by step."""
    async with running(PassOn(), unpoliced=("files", "/v1/audio/speech/")) as rig:
        got = await rig.send("GET", "/v1/files/file-1", headers=OPENAI)
        assert rig.provider.requests[0].path == "/v1/files/file-1"
        await wait_until(lambda: rig.delivered(got.call))
        assert (await rig.one(got.call, log.PolicyBypassed)).why == "unpoliced: files"
        assert (await rig.send("POST", "/v1/audio/speech", data=b"{}", headers=OPENAI)).body == SPEECH
        for path in ("/v1/filesystem", "/v1/audio/transcriptions", "/v1/audio"):
            assert (await rig.send("POST", path, data=b"{}", headers=OPENAI)).status == 404
        assert len(rig.provider.requests) == 2


@pytest.mark.parametrize(
    "path", ["/v1/files/%2e%2e/chat/completions", "/v1/files/..%2fchat/completions", "/v1/files//x", "/v1/files/a%5cb"]
)
async def test_a_path_that_could_be_read_as_another_is_refused(path: str) -> None:
    """An open door leads to one room."""
    async with running(PassOn(), unpoliced=("files",)) as rig:
        url = yarl.URL(rig.url + path, encoded=True)
        async with rig.client.post(url, data=b"{}", headers=OPENAI) as response:
            assert response.status == 400
        assert not rig.provider.requests


@pytest.mark.parametrize(
    "path", ["..%2fresponses%2fresp_1", "../responses/resp_1", "%2e%2e/files", "a%5c..%5c..%5cfiles", "a//b", "a/."]
)
async def test_a_models_name_is_no_way_to_another_path(path: str) -> None:
    """A stored response, say, as the model said it."""
    async with running(PassOn()) as rig:
        url = yarl.URL(f"{rig.url}/v1/models/{path}", encoded=True)
        async with rig.client.get(url, headers=OPENAI) as response:
            assert response.status == 400
        assert not rig.provider.requests


@pytest.mark.parametrize("name", ["a%3Fb=c", "org%2Fmodel", "org/model", "a%20b"])
async def test_a_models_name_passes_as_it_is_quoted(name: str) -> None:
    """What belongs to it does not become a query."""
    async with running() as rig:
        async with rig.client.get(yarl.URL(f"{rig.url}/v1/models/{name}", encoded=True), headers=OPENAI) as response:
            assert response.status == 404
        (seen,) = rig.provider.requests
        assert (seen.path, seen.query) == (f"/v1/models/{unquote(name)}", "")


async def test_an_upgrade_is_refused_at_once() -> None:
    """A client that would rather have a WebSocket falls back."""
    async with running() as rig:
        headers = {**OPENAI, "connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
        got = await rig.send("GET", "/v1/responses", headers=headers)
        assert got.status == 426
        assert "POST" in says(got)
        assert not rig.provider.requests


async def test_gateway_keys_are_asked_for_here_too() -> None:
    """And do not reach the provider; nor does a path outside `/v1/`."""
    async with running(auth=Auth("both", (Key("gateway-key-1", "ann"),))) as rig:
        assert (await rig.send("POST", "/v1/embeddings", data=b"{}", headers=OPENAI)).status == 401
        headers = {**OPENAI, "x-luthien-key": "gateway-key-1"}
        await rig.send("GET", "/v1/files", headers=headers)
        assert "gateway-key-1" not in str(rig.provider.requests[0].headers)
        for path in ("/luthien/api/status", "/anything"):
            got = await rig.send("GET", path, headers=headers)
            assert (got.status, "POST /v1/messages" in says(got)) == (404, True)
        assert len(rig.provider.requests) == 1


async def test_models_are_routed_here_too() -> None:
    """An alias is written into the body as the provider calls it."""
    async with running(models=(ModelRoute("small", "fake/text-1"),)) as rig:
        body = b'{"model":"small","input":"x","odd": 0.10}'
        await rig.send("POST", "/v1/embeddings", data=body, headers=OPENAI)
        assert rig.provider.requests[0].body == b'{"model":"text-1","input":"x","odd":0.10}'
        got = await rig.send("POST", "/v1/embeddings", data=b'{"model":"none"}', headers=OPENAI)
        assert (got.status, "not configured" in says(got)) == (404, True)


async def test_odd_calls_have_an_answer_and_an_id() -> None:
    """Warm-ups and probes of clients, without any credential."""
    async with running() as rig:
        for method, path, status in [
            ("HEAD", "/api/hello", 200),
            ("GET", "/api/hello", 200),
            ("OPTIONS", "/v1/messages", 204),
            ("OPTIONS", "/", 204),
            ("HEAD", "/", 200),
            ("GET", "/livez", 200),
            ("GET", "/v1/models", 200),
        ]:
            got = await rig.send(method, path)
            assert (got.status, bool(got.call)) == (status, True), path
