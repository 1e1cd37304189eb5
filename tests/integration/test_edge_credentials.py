"""Canaries: credentials planted everywhere a client or a provider may put them are nowhere in the log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from luthien_stream.config.model import Auth, Key, Provider
from luthien_stream.events import log
from luthien_stream.events.answer import Event
from luthien_stream.policy.api import Policy
from luthien_stream.policy.context import Context
from luthien_stream.policy.stream import Events
from tests.integration.edge_rig import FORMATS, PATHS, request_body, running
from tests.wait import wait_until

CANARY = "sk-canary-0123456789abcdef"
GATEWAY = "sk-gateway-paid-9876543210"
PLANTED: dict[str, Any] = {
    "mcp_servers": [{"type": "url", "url": f"https://u:{CANARY}@mcp.example", "authorization_token": CANARY}],
    "api_key": CANARY,
}


class PassOn(Policy):
    """Takes part in both phases and changes nothing."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield what comes."""
        async for event in events:
            yield event


@pytest.mark.parametrize("policies", [(), (PassOn(),)], ids=["relayed", "policed"])
@pytest.mark.parametrize("format", FORMATS)
async def test_no_credential_is_in_the_log(
    format: str, policies: tuple[Policy, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Header, query, body fields, text, and a provider that repeats it in its error."""
    async with running(*policies) as rig:
        headers = {"authorization": f"Bearer {CANARY}", "cookie": f"session={CANARY}", "x-goog-api-key": CANARY}
        for model in ("text-3", "error-echo"):
            body = request_body(model, format, **PLANTED)
            if format != "openai_chat":
                body["system" if format == "anthropic_messages" else "instructions"] = f"my key is {CANARY}"
            path = f"{PATHS[format]}?beta=true&api_key={CANARY}"
            got = await rig.send("POST", path, headers=headers, json=body)
            await wait_until(lambda call=got.call: rig.delivered(call))  # type: ignore[misc]
            seen = rig.provider.requests[-1]
            assert seen.json == body
            assert seen.headers["authorization"] == f"Bearer {CANARY}"
        assert CANARY.encode() in got.body
        assert got.body == seen.sent[0]
        assert CANARY.encode() not in await rig.dump()
        assert b"luthien-credential-" in await rig.dump()
    told = capsys.readouterr()
    assert CANARY not in told.out + told.err


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/messages/count_tokens"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/files"),
        ("GET", "/v1/responses/resp_1"),
        ("DELETE", "/v1/responses/resp_1"),
    ],
)
async def test_no_credential_of_other_requests_is_in_the_log(
    method: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor what would let somebody find out which it was."""
    async with running() as rig:
        headers = {"authorization": f"Bearer {CANARY}", "x-goog-api-key": CANARY, "x-stainless-retry-count": "0"}
        body = {"model": "text-3", "input": "x", "messages": [{"role": "user", "content": "x"}], **PLANTED}
        more = {"json": body} if method == "POST" else {}
        got = await rig.send(method, f"{path}?api_key={CANARY}", headers=headers, **more)
        await wait_until(lambda: rig.delivered(got.call))
        assert rig.provider.requests[0].headers["authorization"] == f"Bearer {CANARY}"
        again = await rig.send("GET", f"/v1/calls/{got.call}/stream", headers=headers)
        assert (again.status, CANARY.encode() in again.body) == (200, False)

        async def known() -> bool:
            return await rig.bus.get_value(f"call:{got.call}") is not None

        await wait_until(known)
        assert CANARY.encode() not in await rig.dump()
    told = capsys.readouterr()
    assert CANARY not in told.out + told.err


@pytest.mark.parametrize("policies", [(), (PassOn(),)], ids=["relayed", "policed"])
async def test_the_gateways_own_key_is_shown_to_nobody(policies: tuple[Policy, ...]) -> None:
    """Not to the client either, whose own credential does not reach that provider."""
    async with running() as first:
        paid = Provider(base_url=first.provider.url, format="anthropic_messages", api_key=GATEWAY)
        async with running(*policies, providers={"fake": paid}) as rig:
            got = await rig.ask("error-echo", headers={"x-api-key": CANARY, "cookie": "a=secret-cookie"})
            assert got.status == 401
            seen = first.provider.requests[0]
            assert seen.headers["x-api-key"] == GATEWAY
            assert CANARY not in str(seen.headers)
            assert "cookie" not in {name.lower() for name in seen.headers}
            assert GATEWAY.encode() not in got.body
            assert b"[gateway credential]" in got.body
            await wait_until(lambda: rig.delivered(got.call))
            assert GATEWAY.encode() not in await rig.dump()


async def test_a_provider_that_cannot_be_reached_says_nothing_about_credentials(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Neither in the client's error nor in the log lines."""
    gone = Provider(base_url=f"http://user:{CANARY}@127.0.0.1:1", format="anthropic_messages", passthrough=True)
    async with running(providers={"gone": gone}) as rig:
        got = await rig.ask("x", headers={"x-api-key": CANARY})
        assert got.status == 502
        assert CANARY.encode() not in got.body
        await wait_until(lambda: rig.delivered(got.call))
        failed = await rig.all(got.call, log.ResponseFailed)
        assert {end.error for end in failed} == {"upstream_unreachable"}
        assert CANARY.encode() not in await rig.dump()
    told = capsys.readouterr()
    assert CANARY not in told.out + told.err


def test_the_admin_token_is_for_its_owner_only(tmp_path: Path) -> None:
    """Made once, kept, and readable by nobody else."""
    from luthien_stream.edge.admin import admin_token

    token = admin_token(tmp_path / "data")
    assert len(token) > 30
    assert admin_token(tmp_path / "data") == token
    assert (tmp_path / "data" / "admin-token").stat().st_mode & 0o777 == 0o600
    (tmp_path / "data" / "admin-token").write_text("")
    assert len(admin_token(tmp_path / "data")) > 30, "an empty token would let everybody in"


async def test_what_is_no_secret_of_the_gateways_is_not_cut_out_of_answers() -> None:
    """A provider's configured headers have values that anybody may say."""
    async with running() as first:
        headers = {"Anthropic-Version": "2023-06-01", "x-corp-pass": GATEWAY}
        there = Provider(base_url=first.provider.url, format="anthropic_messages", api_key="sk-paid-1", headers=headers)
        async with running(providers={"there": there}) as rig:
            said = [{"role": "user", "content": f"since 2023-06-01 with {GATEWAY}"}]
            got = await rig.ask("echo", fields={"messages": said})
            assert b"2023-06-01 " in got.body
            assert GATEWAY.encode() not in got.body


async def test_the_credential_that_the_provider_has_taken_comes_back_in_its_answer() -> None:
    """Behind policies too: it is one. Of two that were sent nobody knows which was taken."""
    async with running(PassOn()) as rig:
        fields = {"messages": [{"role": "user", "content": f"my key is {CANARY} as you know"}]}
        got = await rig.ask("echo", headers={"x-api-key": CANARY}, fields=fields)
        assert got.body == b"".join(rig.provider.requests[0].sent)
        assert CANARY.encode() in got.body
        assert CANARY.encode() not in await rig.dump()
        got = await rig.ask("echo", headers={"x-api-key": "sk-of-the-client", "authorization": CANARY}, fields=fields)
        assert CANARY.encode() not in got.body


@pytest.mark.parametrize("by", ["header", "query", "field"])
async def test_nothing_is_hidden_from_policies_by_calling_it_a_secret(by: str) -> None:
    """A client gets what they have seen."""
    async with running(PassOn()) as rig:
        fields: dict[str, Any] = {"messages": [{"role": "user", "content": f"please {CANARY} now"}]}
        headers, query = {"x-api-key": "sk-of-the-client"}, ""
        if by == "header":
            headers["x-any-token"] = CANARY
        elif by == "query":
            query = f"?any_token={CANARY}"
        else:
            fields["any_token"] = CANARY
        got = await rig.ask("echo", headers=headers, query=query, fields=fields)
        assert b"please" in got.body
        assert CANARY.encode() not in got.body
        assert b"luthien-credential-" in got.body


@pytest.mark.parametrize("mode", ["passthrough", "both"])
@pytest.mark.parametrize("path", ["/v1/messages?beta=true", "/v1/messages/count_tokens?beta=true"])
async def test_a_subscriptions_token_goes_through(mode: str, path: str) -> None:
    """As an agent that is logged in sends it: with the header that says what it is, and no other credential."""
    token = "sk-ant-oat01-canary-0123456789abcdef"
    keys = (Key("gateway-key-1", "ann"),) if mode == "both" else ()
    async with running(auth=Auth(mode, keys)) as rig:  # type: ignore[arg-type]
        sent = {"authorization": f"Bearer {token}", "anthropic-beta": "oauth-2025-04-20,claude-code-20250219"}
        gateway = {"x-luthien-key": "gateway-key-1"} if mode == "both" else {}
        got = await rig.send("POST", path, json=request_body("text-3"), headers={**sent, **gateway})
        assert got.status == 200
        arrived = {name.lower(): value for name, value in rig.provider.requests[0].headers.items()}
        assert sent.items() <= arrived.items()
        assert not {"x-api-key", "x-luthien-key"} & arrived.keys()
        await wait_until(lambda: rig.delivered(got.call))
        assert token.encode() not in await rig.dump()
