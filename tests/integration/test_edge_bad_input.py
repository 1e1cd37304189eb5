"""Requests that cannot be served: a clear error in the client's dialect, and the next request works."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from luthien_stream.config.model import Auth, Key, ModelRoute, Provider
from luthien_stream.events import log
from luthien_stream.events.answer import Event
from luthien_stream.policy.api import Policy
from luthien_stream.policy.context import Context
from luthien_stream.policy.stream import Events
from luthien_stream.testing.provider import FakeProvider
from tests.integration.edge_rig import FORMATS, KEY, PATHS, Got, Rig, request_body, running
from tests.wait import wait_until

BOTH = {"authorization": f"Bearer {KEY}"}


class PassOn(Policy):
    """Takes part in both phases and changes nothing."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield what comes."""
        async for event in events:
            yield event


def error_of(got: Got, format: str) -> dict[str, Any]:
    """The error in the format's dialect."""
    body = json.loads(got.body)
    if format == "anthropic_messages":
        assert body["type"] == "error"
        assert body["request_id"] == got.headers["request-id"] == got.call
    else:
        assert set(body["error"]) >= {"message", "type", "param", "code"}
        assert got.headers["x-request-id"] == got.call
    return dict(body["error"])


async def works(rig: Rig, format: str) -> None:
    """The next request is served."""
    assert (await rig.ask("text-3", format)).status == 200


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"[]", "object"),
        (b"\xff\xfe", "JSON"),
        (b'{"messages":[{"role":"user","content":"x"}],"max_tokens":5}', "model"),
        (b'{"model":7,"max_tokens":5,"messages":[{"role":"user","content":"x"}]}', "model"),
        (b'{"model":"","max_tokens":5,"messages":[{"role":"user","content":"x"}]}', "model"),
        (b'{"model":"text-3","max_tokens":5,"messages":7,"input":7}', "must be"),
        (b'{"model":"text-3","max_tokens":5,"messages":[7],"input":[7]}', "[0]"),
        (b'{"model":"text-3","max_tokens":5,"messages":[{"role":"user","content":"x"}],"stream":"yes"}', "stream"),
    ],
)
async def test_a_body_that_cannot_be_served_is_named(format: str, body: bytes, says: str) -> None:
    """400 with the field at fault, on record as a failed call, and nothing reaches the provider."""
    async with running() as rig:
        got = await rig.send("POST", PATHS[format], data=body, headers=BOTH)
        assert got.status == 400
        assert says in error_of(got, format)["message"]
        await wait_until(lambda: rig.delivered(got.call))
        failed = await rig.one(got.call, log.ResponseFailed)
        assert (failed.lane, failed.error, failed.status) == ("final", "request_invalid", 400)
        assert not rig.provider.requests
        await works(rig, format)


@pytest.mark.parametrize("format", ["anthropic_messages", "openai_chat"])
async def test_a_conversation_is_needed(format: str) -> None:
    """OpenAI's responses can do without: the history may be the provider's."""
    async with running() as rig:
        got = await rig.send("POST", PATHS[format], data=b'{"model":"text-3","max_tokens":5}', headers=BOTH)
        assert (got.status, "messages" in error_of(got, format)["message"]) == (400, True)


@pytest.mark.parametrize("format", FORMATS)
async def test_an_unknown_model_is_404_once_models_are_given(format: str) -> None:
    """And the message leads to the list."""
    async with running(models=(ModelRoute("text-*", "fake/*"),)) as rig:
        got = await rig.ask("gpt-none", format)
        assert got.status == 404
        assert "/v1/models" in error_of(got, format)["message"]
        assert (await rig.one(got.call, log.RequestReceived)).model == "gpt-none"
        await works(rig, format)


@pytest.mark.parametrize("format", FORMATS)
async def test_a_body_over_the_limit_is_413(format: str) -> None:
    """32 MB are taken, more are not."""
    async with running() as rig:
        got = await rig.send("POST", PATHS[format], data=io.BytesIO(b"x" * (33 << 20)), headers=BOTH)
        assert got.status == 413
        assert "32 MB" in error_of(got, format)["message"]
        await works(rig, format)


@pytest.mark.parametrize("format", FORMATS)
async def test_a_body_that_claims_an_encoding_it_has_not(format: str) -> None:
    """The server cannot undo it."""
    async with running() as rig:
        got = await rig.send("POST", PATHS[format], data=b'{"model":"x"}', headers={**BOTH, "content-encoding": "gzip"})
        assert got.status == 400
        assert "gzip" in error_of(got, format)["message"]
        await works(rig, format)


@pytest.mark.parametrize("format", FORMATS)
async def test_a_small_body_that_grows_over_the_limit_is_413(format: str) -> None:
    """The bound counts what is inside."""
    async with running() as rig:
        bomb = gzip.compress(b"x" * (40 << 20))
        got = await rig.send("POST", PATHS[format], data=bomb, headers={**BOTH, "content-encoding": "gzip"})
        assert got.status == 413
        await works(rig, format)


async def raw(rig: Rig, request: bytes) -> bytes:
    """Write bytes to the edge; return all it answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(rig.url.rpartition(":")[2]))
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_header_that_is_no_text_is_refused() -> None:
    """It could be passed on to nobody."""
    async with running() as rig:
        body = json.dumps(request_body("text-3")).encode()
        head = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nX-Odd: \xff\xfe\r\nConnection: close\r\n"
        answer = await raw(rig, head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"x-odd" in answer
        await works(rig, "anthropic_messages")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/x", "/v1/responses/x", "/v1/calls/x/stream"])
async def test_a_credential_that_is_no_text_is_refused_wherever_it_is_sent(path: str) -> None:
    """In the client's dialect, also where no model is asked."""
    async with running(auth=Auth("keys", (Key("gateway-key-1", "ann"),))) as rig:
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode()
        answer = await raw(rig, head + b"Authorization: Bearer \xff\xfe\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400")
        assert b"authorization" in answer.rpartition(b"\r\n\r\n")[2]


async def test_what_is_no_http_gets_an_answer_and_harms_nobody() -> None:
    """400 from the parser."""
    async with running() as rig:
        assert (await raw(rig, b"NONSENSE\x00\r\n\r\n")).startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
        await works(rig, "anthropic_messages")


@pytest.mark.parametrize("format", FORMATS)
async def test_without_a_gateway_key_nobody_gets_in(format: str) -> None:
    """401, and nothing is written to the log for strangers."""
    async with running(auth=Auth("both", (Key("gateway-key-1", "ann"),))) as rig:
        got = await rig.ask("text-3", format)
        assert got.status == 401
        error_of(got, format)
        assert await rig.events(got.call) == []
        got = await rig.ask("text-3", format, headers={**BOTH, "x-luthien-key": "gateway-key-1"})
        assert got.status == 200
        assert (await rig.one(got.call, log.RequestReceived)).key == "ann"
        assert rig.provider.requests[0].headers["authorization"] == f"Bearer {KEY}"


async def test_a_clients_credential_does_not_go_to_a_provider_that_is_not_marked() -> None:
    """A provider with neither `passthrough` nor `api_key`, say a model server of one's own, is called without one."""
    async with FakeProvider() as lab:
        lab_only = {"lab": Provider(base_url=lab.url, format=("anthropic_messages", "openai_chat", "openai_responses"))}
        async with running(providers=lab_only) as rig:
            for format in FORMATS:
                assert (await rig.ask("text-3", format)).status == 200
        assert len(lab.requests) == len(FORMATS)
        for request in lab.requests:
            assert not {"authorization", "x-api-key", "api-key"} & {name.lower() for name in request.headers}


async def test_several_answers_are_not_asked_for_while_policies_read_them() -> None:
    """400 that names `n`."""
    async with running(PassOn()) as rig:
        got = await rig.ask("text-3", "openai_chat", fields={"n": 2})
        assert got.status == 400
        assert "n=2" in error_of(got, "openai_chat")["message"]
    async with running() as rig:
        assert (await rig.ask("text-3", "openai_chat", fields={"n": 2})).status == 200


async def test_server_held_history_is_refused_so_that_the_sdk_sends_it_all() -> None:
    """With the details that make the vendor's SDK repeat the turn."""
    async with running(PassOn()) as rig:
        got = await rig.ask("text-3", fields={"thread": {"id": "thread_1"}})
        assert got.status == 400
        assert error_of(got, "anthropic_messages")["details"]["error_code"] == "thread_unsupported_request"
        got = await rig.ask("text-3", "openai_chat", fields={"modalities": ["text", "audio"]})
        assert "modalities" in error_of(got, "openai_chat")["message"]


async def test_cheap_paths_need_no_credential() -> None:
    """Probes of clients and of load balancers."""
    async with running() as rig:
        for method, path in [
            ("HEAD", "/"),
            ("GET", "/"),
            ("HEAD", "/api/hello"),
            ("GET", "/health"),
            ("GET", "/livez"),
        ]:
            assert (await rig.send(method, path)).status == 200, path
        await wait_until(lambda: not rig.edge.admission.not_ready)
        assert (await rig.send("GET", "/readyz")).status == 200


async def test_models_come_from_the_provider_in_the_callers_dialect() -> None:
    """With the client's own credential; the demo models join them."""
    async with running() as rig:
        got = await rig.send(
            "GET", "/v1/models?limit=1000", headers={"anthropic-version": "2023-06-01", "x-api-key": KEY}
        )
        assert got.status == 200
        names = [model["id"] for model in json.loads(got.body)["data"]]
        assert "demo/echo" in names
        assert len(names) > 3
        assert rig.provider.requests[0].query == "limit=1000"


async def test_configured_models_are_listed_in_both_dialects() -> None:
    """Globs are not names."""
    async with running(models=(ModelRoute("fast", "fake/x"), ModelRoute("claude-*", "fake/*"))) as rig:
        openai = json.loads((await rig.send("GET", "/v1/models", headers=BOTH)).body)
        assert (openai["object"], [m["id"] for m in openai["data"]][:1]) == ("list", ["fast"])
        got = await rig.send("GET", "/v1/models", headers={"anthropic-version": "2023-06-01"})
        assert json.loads(got.body)["data"][0]["type"] == "model"
        assert json.loads((await rig.send("GET", "/v1/models/demo/echo")).body)["id"] == "demo/echo"
        assert (await rig.send("GET", "/v1/models/none")).status == 404
