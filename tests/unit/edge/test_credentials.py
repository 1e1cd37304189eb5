"""Secrets are cut out, and put back only where they came from."""

from __future__ import annotations

import json
import time

import pytest

from luthien_stream.edge.credentials import (
    Vault,
    cut_body,
    cut_query,
    is_credential,
    keep_headers,
    shown_headers,
    without_credentials,
)

CANARY = "canary-0123456789"


@pytest.mark.parametrize(
    "name", ["Authorization", "x-api-key", "api_key", "Cookie", "x-goog-api-key", "access_token", "key"]
)
def test_names_of_credentials(name: str) -> None:
    """What holds a credential is told by its name."""
    assert is_credential(name)


@pytest.mark.parametrize("name", ["accept", "anthropic-version", "max_tokens", "x-stainless-retry-count", "user-agent"])
def test_names_of_other_things(name: str) -> None:
    """What clients send besides is left alone."""
    assert not is_credential(name)


def test_headers_are_published_without_their_secrets() -> None:
    """Also where a harmless header repeats one."""
    vault = Vault()
    headers = {"authorization": f"Bearer {CANARY}", "x-note": f"my key is {CANARY}", "cookie": "a=b"}
    keep_headers(vault, headers)
    shown = vault.mask_headers(headers.items())
    assert CANARY not in str(shown)
    assert dict(shown)["cookie"] == "[credential]"
    assert dict(shown)["authorization"].startswith("Bearer luthien-credential-")


def test_values_of_unknown_headers_are_not_published() -> None:
    """A secret may come in a header of any name; only names that are known to hold none show their value."""
    vault = Vault()
    headers = {"x-corp-pass": CANARY, "anthropic-beta": "tools", "x-jwt": CANARY, "authorization": f"Odd {CANARY}"}
    keep_headers(vault, headers)
    shown = dict(shown_headers(vault, headers.items()))
    assert CANARY not in str(shown)
    assert shown["anthropic-beta"] == "tools"
    assert shown["x-corp-pass"] == "[not recorded]"


def test_a_password_of_several_words_is_cut_whole() -> None:
    """A first word that is no known scheme belongs to the secret."""
    body = json.dumps({"password": "hunter two three", "private_key": CANARY, "messages": []}).encode()
    shown = cut_body(Vault(), body)
    assert b"hunter" not in shown
    assert b"three" not in shown
    assert CANARY.encode() not in shown


def test_a_query_is_published_without_its_secrets() -> None:
    """Percent-encoded ones too; other parameters stay as they came."""
    vault = Vault()
    shown = cut_query(vault, "beta=true&key=%63anary-0123456789&api_key=short")
    assert shown.startswith("beta=true&key=luthien-credential-")
    assert "anary" not in shown
    assert "short" not in shown
    assert CANARY.encode() not in vault.mask(CANARY.encode())
    assert without_credentials("beta=true&key=x&a=b") == "beta=true&a=b"


@pytest.mark.parametrize(
    "body",
    [
        {"mcp_servers": [{"url": "https://mcp.example", "authorization_token": CANARY}]},
        {"tools": [{"type": "mcp", "headers": {"X-Any": f"Bearer {CANARY}"}}]},
        {"tools": [{"type": "mcp", "authorization": CANARY}]},
        {"api_key": CANARY, "nested": {"more": [{"client_secret": CANARY}]}},
        {"tools": [{"server_url": f"https://user:{CANARY}@example.org/x"}]},
        {"tools": [{"server_url": f"https://example.org/mcp?a=b&token={CANARY}#x"}]},
        {"mcp_servers": [{"url": f"https://example.org/mcp/?tavilyApiKey={CANARY}"}]},
        {"messages": [{"content": [{"type": "image_url", "image_url": {"url": f"https://x.org?sig={CANARY}"}}]}]},
        {"messages": [{"content": [{"type": "image_url", "image_url": {"url": f"https://u:{CANARY}@example.org"}}]}]},
        {"api_key": CANARY, "messages": [{"role": "user", "content": f"the key is {CANARY}, use it"}]},
    ],
)
def test_a_body_is_published_without_the_secrets_in_its_known_places(body: object) -> None:
    """And the marker leads back to the very bytes."""
    raw = json.dumps(body).encode()
    vault = Vault()
    shown = cut_body(vault, raw)
    assert CANARY.encode() not in shown
    assert b"luthien-credential-" in shown
    assert vault.unmask(shown) == raw


def test_a_short_secret_is_cut_as_a_whole_string_only() -> None:
    """Text that happens to contain it stays."""
    vault = Vault()
    shown = cut_body(vault, b'{"api_key": "ab", "messages": [{"content": "about ab"}]}')
    assert b'"content": "about ab"' in shown
    assert b'"api_key": "luthien-credential-' in shown


def test_a_secret_in_another_spelling_is_cut_too() -> None:
    """JSON can write one text in many ways; what is published is then written anew."""
    vault = Vault()
    shown = cut_body(vault, b'{"api_key": "\\u0063anary-0123456789", "x": 1}')
    assert b"anary" not in shown
    assert json.loads(shown)["x"] == 1


@pytest.mark.parametrize(
    "body", [b"", b"[1]", b'"text"', b'{"api_key": {"a": 1}}', b'{"api_key": ', b'{"key":"\\ud83d"}']
)
def test_odd_bodies_do_no_harm(body: bytes) -> None:
    """What cannot be read has no known places."""
    cut_body(Vault(), body)


def test_a_body_without_credentials_stays_the_same_object() -> None:
    """Nothing is parsed and nothing copied."""
    body = b'{"messages": [{"role": "user", "content": "where is my \\"api_key\\"?"}]}'
    assert cut_body(Vault(), body) is body


def test_the_clients_secret_in_an_answer_comes_back_and_the_gateways_does_not() -> None:
    """Both are absent from what is published."""
    vault = Vault()
    vault.keep(CANARY)
    vault.hide("gateway-key-0123")
    frame = f'data: {{"error":"bad key {CANARY}, not gateway-key-0123"}}\n\n'.encode()
    shown = vault.mask_answer(frame)
    assert vault.answered
    assert CANARY.encode() not in shown
    assert vault.unmask(shown) == frame.replace(b"gateway-key-0123", b"[gateway credential]")


def test_a_marker_cannot_be_guessed() -> None:
    """Two calls with the same secret have different markers, so that no answer can fetch a secret by name."""
    first, second = Vault(), Vault()
    first.keep(CANARY)
    second.keep(CANARY)
    assert first.mask(CANARY.encode()) != second.mask(CANARY.encode())


def test_what_the_client_knows_of_the_gateways_own_does_not_come_back_either() -> None:
    """A client that sent the same secret learns nothing from the answer."""
    vault = Vault()
    keep_headers(vault, {"x-api-key": CANARY})
    vault.hide(CANARY)
    assert vault.unmask(vault.mask_answer(b"no " + CANARY.encode())) == b"no [gateway credential]"


@pytest.mark.parametrize(
    "text", ["key" * 500_000, "?key" * 500_000, "://" * 500_000, '"key" ' * 500_000, "&" * 1_000_000]
)
def test_a_long_text_that_means_nothing_takes_no_time(text: str) -> None:
    """Nobody can keep an edge busy with it."""
    body = json.dumps({"input": text}).encode()
    began = time.process_time()
    cut_body(Vault(), body)
    assert time.process_time() - began < 5
