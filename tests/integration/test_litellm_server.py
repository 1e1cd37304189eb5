"""The litellm server with the real litellm: OpenAI's shape, the provider's errors, an end when the client leaves."""

from __future__ import annotations

import asyncio
import json
import re
import stat
import subprocess
import sys
from array import array
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from luthien_stream.config.litellm_names import LITELLM_PREFIXES
from luthien_stream.config.model import Config, Deployment, Provider
from luthien_stream.config.targets import needs_litellm
from luthien_stream.events import log
from luthien_stream.formats import LENSES
from luthien_stream.upstream import litellm_wire
from luthien_stream.upstream.client import NativeClient
from tests.integration.edge_rig import running
from tests.integration.litellm_rig import KEY, loaded, serving
from tests.wait import wait_until

TOOL = {"type": "function", "function": {"name": "Bash", "parameters": {"type": "object", "properties": {}}}}
FOREIGN = re.compile(rb'"(provider_specific_fields|citations|obfuscation|caller|_hidden_params|moderation)"')
PROVIDERS = ["groq", "anthropic"]


def events(body: bytes) -> list[dict[str, Any]]:
    """The chunks of a stream that ended well."""
    lines = [line.removeprefix(b"data: ") for line in body.split(b"\n\n") if line]
    assert lines[-1] == b"[DONE]"
    return [json.loads(line) for line in lines[:-1]]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_stream_is_what_an_openai_client_expects(provider: str) -> None:
    """Text, an end, usage where it is asked for, and none of litellm's own fields."""
    async with serving() as client:
        status, headers, body = await client.ask(
            f"{provider}/text-3", stream=True, stream_options={"include_usage": True}
        )
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        chunks = events(body)
        assert FOREIGN.search(body) is None
        text = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])
        assert text == "alpha 0 bravo 1 charlie 2 "
        assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]][-1] == "stop"
        assert chunks[-1]["usage"]["completion_tokens"] == 3
        checker = LENSES["openai_chat"].checker()
        assert [found for line in body.split(b"\n\n") if line for found in checker.frame(line + b"\n\n")] == []


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_body_is_what_an_openai_client_expects(provider: str) -> None:
    """With a tool call."""
    async with serving() as client:
        status, _, body = await client.ask(f"{provider}/tools", tools=[TOOL])
        assert status == 200
        assert FOREIGN.search(body) is None
        (choice,) = json.loads(body)["choices"]
        assert choice["finish_reason"] == "tool_calls"
        (call,) = choice["message"]["tool_calls"]
        assert set(call) == {"id", "type", "function"}
        assert json.loads(call["function"]["arguments"])["city"] == "Lyon"


async def test_thinking_is_kept_with_its_signature() -> None:
    """As litellm's clients know it: without the signature the next turn would be refused."""
    async with serving() as client:
        _, _, body = await client.ask("anthropic/thinking-3", stream=True)
        deltas = [c["choices"][0]["delta"] for c in events(body) if c["choices"]]
        assert "".join(delta.get("reasoning_content", "") for delta in deltas).startswith("Let me think")
        blocks = [block for delta in deltas for block in delta.get("thinking_blocks", ())]
        assert any(block.get("signature") for block in blocks)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("model", "status", "retry_after"),
    [
        ("groq/error-429", 429, "1"),
        ("anthropic/error-529", 529, "1"),
        ("groq/error-503", 503, None),
        ("anthropic/error-401", 401, None),
        ("groq/error-404", 404, None),
        ("anthropic/error-400", 400, None),
    ],
)
async def test_a_providers_error_keeps_status_words_and_retry_after(
    model: str, status: int, retry_after: str | None, stream: bool
) -> None:
    """In OpenAI's shape, asked once."""
    async with serving() as client:
        got, headers, body = await client.ask(model, stream=stream)
        error = json.loads(body)["error"]
        assert (got, headers.get("retry-after")) == (status, retry_after)
        assert "This error is what the model name asks for" in error["message"]
        assert {"message", "type", "param", "code"} <= error.keys()
        assert len(client.fake.requests) == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_rate_limits_and_the_request_id_reach_the_client(stream: bool) -> None:
    """As the provider sent them."""
    async with serving() as client:
        _, headers, _ = await client.ask("groq/text-3", stream=stream)
        assert headers["x-ratelimit-remaining-requests"] == "9999"
        assert headers["x-request-id"].startswith("req_")


async def test_the_key_goes_to_the_provider_and_nowhere_else(capfd: pytest.CaptureFixture[str]) -> None:
    """Not into the body, and not into a log line of an error."""
    async with serving() as client:
        await client.ask("groq/text-3")
        _, _, body = await client.ask("groq/error-echo")
        seen = client.fake.requests[0]
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        assert KEY.encode() not in seen.body
        told = capfd.readouterr()
        assert KEY not in told.out + told.err
        assert b"Incorrect API key" in body


async def test_a_key_of_the_environment_is_masked_where_a_provider_repeats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """litellm finds it there; the edge does not know it."""
    monkeypatch.setenv("GROQ_API_KEY", "gsk-canary-0815")
    async with serving() as client:
        headers = dict(litellm_wire.headers(client.parameters("groq")))
        body = {"model": "groq/error-echo", "messages": [{"role": "user", "content": "x"}]}
        async with client.session.post("http://litellm/v1/chat/completions", headers=headers, json=body) as answer:
            assert answer.status == 401
            text = await answer.text()
        assert client.fake.requests[0].headers["authorization"] == "Bearer gsk-canary-0815"
        assert "gsk-canary-0815" not in text
        assert "[gateway credential]" in text


@pytest.mark.parametrize("field", ["api_base", "mock_response", "custom_llm_provider", "base_url", "extra_headers"])
async def test_a_client_gives_litellm_no_orders(field: str) -> None:
    """A body's `api_base` would send the key anywhere: every field that is not the API's is refused by name."""
    async with serving() as client:
        status, _, body = await client.ask("groq/text-3", **{field: "http://127.0.0.1:1"})
        assert status == 400
        assert f"`{field}`" in json.loads(body)["error"]["message"]
        assert not client.fake.requests


async def test_what_a_provider_cannot_do_is_refused_unless_the_deployment_drops_it() -> None:
    """`drop_params` is the deployment's own word."""
    async with serving() as client:
        status, _, body = await client.ask("anthropic/text-3", logprobs=True)
        assert (status, b"logprobs" in body) == (400, True)
        status, _, _ = await client.ask("anthropic/text-3", logprobs=True, parameters={"drop_params": True})
        assert status == 200


async def test_a_client_that_leaves_ends_the_providers_answer() -> None:
    """In the stream, and while nothing has come."""
    async with serving() as client:
        for model in ("groq/text-5000@50", "anthropic/text-5000@50"):
            async with client.post(model, stream=True) as answer:
                await answer.content.readany()
                answer.close()
            await wait_until(lambda: client.fake.requests[-1].ended == "gone", timeout=2)
        asking = asyncio.create_task(client.ask("groq/never", stream=True))
        await wait_until(lambda: client.fake.requests[-1].json["model"] == "never")
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await wait_until(lambda: client.fake.requests[-1].ended == "gone", timeout=2)


async def test_a_cut_answer_ends_with_an_error_and_no_end() -> None:
    """The edge sees that it is not whole."""
    async with serving() as client:
        _, _, body = await client.ask("groq/break-5", stream=True)
        assert b"[DONE]" not in body
        assert json.loads(body.strip().split(b"\n\n")[-1].removeprefix(b"data: "))["error"]["message"]


async def test_only_this_user_may_connect() -> None:
    """The socket's mode."""
    async with serving() as client:
        assert stat.S_IMODE(client.socket.stat().st_mode) == 0o600


async def test_embeddings_in_both_encodings() -> None:
    """Numbers, and the base64 that OpenAI's clients ask for by themselves."""
    async with serving() as client:
        order = {"mock_response": [0.5, 0.25]}
        found = {}
        for encoding in ("float", "base64"):
            status, _, body = await client.ask(
                "openai/e", "/v1/embeddings", input=["x"], encoding_format=encoding, parameters=order
            )
            assert status == 200
            found[encoding] = json.loads(body)["data"][0]["embedding"]
        assert found["float"] == [0.5, 0.25]
        assert array("f", b64decode(found["base64"])).tolist() == [0.5, 0.25]


@pytest.mark.parametrize("stream", [True, False])
async def test_the_edge_reaches_a_model_list_entry_over_litellm(stream: bool) -> None:
    """From the client's request to the provider, the key put in by the edge, and shown to nobody."""
    async with serving() as client:
        entry = Deployment("fast", {"model": "groq/text-4", "api_key": KEY, "api_base": f"{client.fake.url}/v1"})
        async with running(
            model_list=(entry,),
            litellm=NativeClient(client.socket),
            providers={"x": Provider("http://x", "openai_chat")},
        ) as rig:
            got = await rig.ask("fast", "openai_chat", stream=stream, fields={"temperature": 0})
            assert got.status == 200
            assert b"delta 3" in got.body
            seen = client.fake.requests[0]
            assert (seen.json["model"], seen.json["temperature"]) == ("text-4", 0)
            assert seen.headers["authorization"] == f"Bearer {KEY}"
            await wait_until(lambda: rig.delivered(got.call))
            assert (await rig.one(got.call, log.ResponseStarted)).provider == "groq"
            assert KEY.encode() not in await rig.dump()


async def test_without_the_server_the_client_is_told_what_must_run(tmp_path: Path) -> None:
    """502, before the first byte."""
    entry = Deployment("fast", {"model": "groq/text-4", "api_key": KEY})
    async with running(model_list=(entry,), litellm=NativeClient(tmp_path / "none.sock")) as rig:
        got = await rig.ask("fast", "openai_chat")
        assert got.status == 502
        assert b"luthien-stream upstream" in got.body


def test_the_prefixes_that_validate_knows_are_litellms() -> None:
    """So that `validate` need not import it."""
    import litellm

    loaded()
    names = {str(getattr(name, "value", name)) for name in litellm.provider_list}
    assert names == LITELLM_PREFIXES


def test_importing_it_asks_nobody() -> None:
    """No connection, no name looked up, no .env read."""
    program = """
import os, socket, sys, tempfile
def never(*args, **more): raise SystemExit(f"asked {args}")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = never
os.chdir(tempfile.mkdtemp()); open(".env", "w").write("LUTHIEN_CANARY=1")
from luthien_stream.upstream.litellm_server.library import load
load({"GIVEN": "1"})
assert "LUTHIEN_CANARY" not in os.environ and os.environ["GIVEN"] == "1"
print("quiet")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "quiet\n", done.stderr


def test_no_edge_imports_litellm() -> None:
    """It would cost each of them seconds and 200 MB."""
    program = """
import sys
import luthien_stream.edge.process, luthien_stream.worker.process, luthien_stream.activity.process
import luthien_stream.cli.up
print([name for name in sys.modules if name.split(".")[0] in ("litellm", "openai", "httpx", "pydantic")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_a_configuration_says_whether_it_is_needed() -> None:
    """OpenAI's and Anthropic's own models are not."""
    native = Deployment("a", {"model": "anthropic/claude-x", "api_key": "k"})
    azure = Deployment("b", {"model": "azure/gpt", "api_key": "k"})
    assert not needs_litellm(Config(model_list=(native,)))
    assert needs_litellm(Config(model_list=(native, azure)))
