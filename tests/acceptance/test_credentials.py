"""Credentials planted wherever a client, a provider or the configuration may have them are kept nowhere."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import redis.asyncio

from luthien_stream.activity.read import list_calls
from luthien_stream.activity.store import Store
from luthien_stream.testing.provider import FakeProvider
from tests.acceptance.clients import PATHS, Received, ask, body, session
from tests.acceptance.gateway import Gateway
from tests.wait import wait_until

pytestmark = pytest.mark.timeout(120)
POLICIES = [{"use": "noop"}, {"use": "string_replace", "with": {"replace": [["alpha 0", "ALPHA"]]}}]
PAID, OURS, TEAM, WRONG = (f"sk-{name}-canary-0123456789abcdef" for name in ("paid", "ours", "team", "wrong"))
"""The provider's configured key, a configured header, the gateway key, and one that opens nothing."""
HEADERS = {
    name: f"sk-{name}-canary-0123456789abcdef"
    for name in ("authorization", "x-api-key", "x-goog-api-key", "cookie", "x-team-token")
}
PLACES = ("query", "url", "mcp", "tool", "field", "argument")
PLANTED = {place: f"sk-{place}-canary-0123456789abcdef" for place in PLACES}
CONTROL = "no-secret-0123456789abcdef"
"""Said by every client, and kept everywhere: what looks for canaries finds this."""
ALL = (CONTROL, PAID, OURS, TEAM, WRONG, *HEADERS.values(), *PLANTED.values())
AUTH = {"mode": "both", "keys": [{"key": TEAM, "name": "team"}]}
EVERY = tuple(PATHS)
MARKER = re.compile(rb"luthien-credential-[0-9a-f]+-\d+")


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        yield fake


def providers(url: str) -> dict[str, Any]:
    """Two that get the client's credential, one that is paid for by the gateway."""
    paid = {"base_url": url, "format": "anthropic_messages", "api_key": PAID, "headers": {"x-ours": OURS}}
    return {
        "claude": {"base_url": url, "format": "anthropic_messages", "passthrough": True},
        "gpt": {"base_url": f"{url}/v1", "format": ["openai_chat", "openai_responses"], "passthrough": True},
        "paid": paid,
    }


def request(model: str, *, stream: bool, said: str = "hello") -> dict[str, Any]:
    """A request with a credential wherever a body may have one, and one that the user told the model."""
    server = {
        "type": "url",
        "name": "files",
        "url": f"https://user:{PLANTED['url']}@mcp.example/?key=1",
        "authorization_token": PLANTED["mcp"],
        "headers": {"x-anything": PLANTED["tool"]},
    }
    told = f"{said} {CONTROL}, my key is {HEADERS['authorization']}"
    extra = {"connection": {"password": PLANTED["argument"]}}
    return body(model, stream=stream, said=told, mcp_servers=[server], api_key=PLANTED["field"], extra=extra)


async def send(http: aiohttp.ClientSession, gateway: Gateway, format: str, asked: dict[str, Any]) -> Received:
    """Ask as a client that puts a credential in every header that may have one."""
    values = {**HEADERS, "authorization": f"Bearer {HEADERS['authorization']}", "cookie": f"id={HEADERS['cookie']}"}
    headers = {**values, "x-luthien-key": TEAM, "user-agent": f"agent/{HEADERS['x-api-key']}"}
    url = f"{gateway.url}{PATHS[format]}?beta=true&api_key={PLANTED['query']}"
    async with http.post(url, json=asked, headers=headers) as answer:
        return Received(answer.status, answer.headers.get("x-luthien-call-id", ""), await answer.read())


async def use_it(http: aiohttp.ClientSession, gateway: Gateway, provider: FakeProvider) -> int:
    """Answers and errors, small and large, streamed and not. Return how many calls that made."""
    prefixes = dict(zip(EVERY, ("claude", "gpt", "gpt"), strict=True))
    scenarios = [(model, stream) for model in ("text-5", "echo", "error-echo") for stream in (True, False)]
    for format in EVERY:
        for model, stream in scenarios:
            asked = request(f"{prefixes[format]}/{model}", stream=stream)
            got = await send(http, gateway, format, asked)
            check_wire(got, provider, asked, model)
        large = request(f"{prefixes[format]}/text-5", stream=True, said="long " * 20_000)
        await send(http, gateway, format, large)
    return len(EVERY) * (len(scenarios) + 1)


def check_wire(got: Received, provider: FakeProvider, asked: dict[str, Any], model: str) -> None:
    """The provider had the real credentials; the client has its own error text, or its own words, unchanged."""
    seen = provider.requests[-1]
    assert seen.json == {**asked, "model": model}
    assert seen.headers["authorization"] == f"Bearer {HEADERS['authorization']}"
    assert seen.headers["x-api-key"] == HEADERS["x-api-key"]
    assert seen.query == f"beta=true&api_key={PLANTED['query']}"
    assert got.status == (401 if model == "error-echo" else 200)
    if model == "error-echo":
        assert HEADERS["x-api-key"].encode() in got.body
    if model != "text-5":
        # Policies saw a marker for the key, and of several that were sent nobody knows which is one.
        assert MARKER.sub(HEADERS["authorization"].encode(), got.body) == b"".join(seen.sent)


async def be_another(http: aiohttp.ClientSession, gateway: Gateway) -> tuple[int, list[bytes]]:
    """Another client: a paid route, and requests that fail. Return calls on record, and what it was told."""
    told = []
    path, key = gateway.url + PATHS["anthropic_messages"], {"x-luthien-key": TEAM}
    for model in ("error-echo", "text-5", "error-500"):
        async with http.post(path, json=body(f"paid/{model}"), headers=key) as answer:
            told.append(await answer.read())
    broken = b'{"model": "claude/text-5", "api_key": "%b", ' % PLANTED["field"].encode()
    async with http.post(path, data=broken, headers=key) as answer:
        assert answer.status == 400
        told.append(await answer.read())
    async with http.post(path, json=body("claude/text-5"), headers={"x-luthien-key": WRONG}) as answer:
        assert answer.status == 401
        told.append(await answer.read())
    own = await ask(http, gateway.url, "openai_chat", body("gpt/text-5"))
    told.append(own.body)
    return 3, told


def spellings(canary: str) -> Iterable[bytes]:
    """The canary as text, in hexadecimal digits, percent-encoded, and within base64 at each of its three places."""
    raw = canary.encode()
    yield raw
    yield raw.hex().encode()
    yield quote(canary.replace("-", "\0")).replace("%00", "%2D").encode()
    for shift in range(3):
        yield base64.b64encode(b" " * shift + raw)[4 if shift else 0 : -4]


def canaries_in(data: bytes) -> set[str]:
    """Those that can be found in there."""
    return {canary for canary in ALL if any(form in data for form in spellings(canary))}


async def log_contents(gateway: Gateway) -> bytes:
    """Every key of Redis with its value, and all that was ever written: its append-only file."""
    client = redis.asyncio.Redis.from_url(gateway.instance.redis)
    try:
        keys = [key async for key in client.scan_iter(count=1000)]
        values = [await value_of(client, key) for key in keys]
    finally:
        await client.aclose()
    return b"\n".join([*keys, *values, written_log(Path(gateway.role("valkey")[0].cwd()))])


def written_log(folder: Path) -> bytes:
    """The append-only file in a server's folder."""
    written = b"".join(file.read_bytes() for file in folder.rglob("*.aof"))
    assert b"request.received" in written
    return written


async def value_of(client: Any, key: bytes) -> bytes:
    """One key's value as bytes, whatever its type."""
    reads = {b"string": ("GET",), b"hash": ("HGETALL",), b"list": ("LRANGE", 0, -1), b"set": ("SMEMBERS",)}
    reads |= {b"zset": ("ZRANGE", 0, -1), b"stream": ("XRANGE", "-", "+")}
    command, *rest = reads[await client.type(key)]
    return flat(await client.execute_command(command, key, *rest))


def flat(reply: Any) -> bytes:
    """All bytes of a reply."""
    if isinstance(reply, dict):
        reply = [*reply, *reply.values()]
    if isinstance(reply, list | tuple | set):
        return b"\n".join(map(flat, reply))
    return reply if isinstance(reply, bytes) else str(reply).encode()


async def record_contents(store: Store) -> bytes:
    """Every row of every table and view, all columns as text, so that what is compressed is read plain."""
    async with store.transaction() as connection:
        names = await connection.fetch("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        tables = {row["table_name"] for row in names}
        assert tables >= {"calls", "events", "runs", "bodies", "chunks", "summaries", "verdicts"}
        rows = [row["t"] for name in tables for row in await connection.fetch(f"SELECT t::text AS t FROM {name} AS t")]
    return "\n".join(rows).encode()


def output(gateway: Gateway) -> bytes:
    """What processes and commands said: the terminal, all log files, `tail`, `calls` and `show`."""
    calls = gateway.command("calls", "--json")
    shown = [gateway.command("tail", "--since", "1h", "--no-follow", *form) for form in ((), ("--json",))]
    files = [file.read_text() for file in gateway.data.rglob("*.log*") if file.is_file()]
    assert any('"ready"' in file for file in files)
    return "\n".join([gateway.output(), calls, *shown, *files]).encode()


@pytest.mark.parametrize("pipeline", [[], POLICIES], ids=["relayed", "policed"])
async def test_no_credential_is_kept_or_shown(
    tmp_path: Path, provider: FakeProvider, pipeline: list[dict[str, Any]]
) -> None:
    """Not in the log, the record, a line of output or another client's error; provider and client miss nothing."""
    keys = {"providers": providers(provider.url), "auth": AUTH}
    async with Gateway(tmp_path, provider.url, pipeline=pipeline, **keys) as gateway, session() as http:
        made = await use_it(http, gateway, provider)
        others, told = await be_another(http, gateway)
        store = Store(gateway.instance.database)

        async def recorded() -> bool:
            calls = await list_calls(store, limit=1_000)
            return sum(call.delivered is not None for call in calls) >= made + others

        try:
            await wait_until(recorded, timeout=30)
            assert canaries_in(b"\n".join(told)) == set()
            assert canaries_in(await log_contents(gateway)) == {CONTROL}
            assert canaries_in(await record_contents(store)) == {CONTROL}
        finally:
            await store.close()
        assert canaries_in(output(gateway)) == {CONTROL}
    assert canaries_in((tmp_path / "up.log").read_bytes()) == set()


@pytest.mark.parametrize("canary", ALL)
def test_a_canary_is_found_however_it_is_written(canary: str) -> None:
    """In hexadecimal digits and within base64 too: otherwise the test above would prove nothing."""
    raw = b"x" * 5 + canary.encode() + b"y" * 4
    for form in (raw, raw.hex().encode(), *(base64.b64encode(b" " * shift + raw) for shift in range(3))):
        assert canaries_in(form) == {canary}
