"""`GET /setup`: the same as the command says, for the address that the client used."""

from __future__ import annotations

import asyncio
import json

import pytest

from luthien_stream.clients.catalogue import CLIENTS
from luthien_stream.config.model import Auth, Key
from tests.integration.edge_rig import running


async def test_the_list_and_a_client_are_plain_text() -> None:
    """No credential is needed to be told where to put one."""
    async with running() as rig:
        everything = await rig.send("GET", "/setup")
        one = await rig.send("GET", "/setup/claude")
    assert everything.status == one.status == 200
    assert everything.headers["content-type"].startswith("text/plain")
    assert everything.headers["x-content-type-options"] == "nosniff"
    assert all(name in everything.body.decode() for name in CLIENTS)
    assert f"ANTHROPIC_BASE_URL={rig.url}" in one.body.decode()


async def test_json_is_for_machines() -> None:
    """All of it, or one client."""
    async with running(auth=Auth("keys", (Key("gw-secret"),))) as rig:
        everything = await rig.send("GET", "/setup", headers={"accept": "application/json"})
        one = await rig.send("GET", "/setup/codex", headers={"accept": "application/json"})
    listed = json.loads(everything.body)
    assert [setup["client"] for setup in listed] == list(CLIENTS)
    assert json.loads(one.body) in listed
    assert json.loads(one.body)["gateway"] == {"url": rig.url, "mode": "keys"}
    assert b"gw-secret" not in everything.body


async def test_the_address_is_the_one_that_was_used() -> None:
    """Behind another name, and behind TLS."""
    async with running() as rig:
        named = await rig.send("GET", "/setup/claude", headers={"host": "gateway.example.org:8443"})
        secured = await rig.send(
            "GET", "/setup/claude", headers={"host": "gateway.example.org", "x-forwarded-proto": "https"}
        )
        six = await rig.send("GET", "/setup/claude", headers={"host": "[::1]:8000"})
    assert "BASE_URL=http://gateway.example.org:8443 " in named.body.decode()
    assert "BASE_URL=https://gateway.example.org " in secured.body.decode()
    assert "BASE_URL='http://[::1]:8000' " in six.body.decode()


HOSTS = ["a;rm -rf ~", "$(id)", "<script>", "evil evil", "x" * 300, "evil:evil", "u@evil", "`id`"]


@pytest.mark.parametrize("host", HOSTS)
async def test_a_host_that_could_do_harm_is_not_repeated(host: str) -> None:
    """The text is pasted into shells."""
    async with running() as rig:
        got = await _ask_as(rig.url, host)
    assert f"ANTHROPIC_BASE_URL={rig.url} " in got
    assert host not in got


async def _ask_as(url: str, host: str) -> str:
    """What a client gets that puts anything into `Host`; no client library would."""
    ip, port = url.removeprefix("http://").split(":")
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(ip, int(port))
        writer.write(f"GET /setup/claude HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        got = await reader.read()
        writer.close()
    return got.decode()


async def test_an_unknown_client_gets_the_list() -> None:
    """With 404."""
    async with running() as rig:
        got = await rig.send("GET", "/setup/netscape")
    assert got.status == 404
    assert b"claude" in got.body
    assert b"netscape" not in got.body
