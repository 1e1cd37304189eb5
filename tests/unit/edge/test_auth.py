"""Who calls, and which credential goes where."""

from __future__ import annotations

import pytest

from luthien_stream.config.model import Auth, Key, Provider
from luthien_stream.edge.auth import Caller, authenticate, provider_headers
from luthien_stream.edge.refusals import Unauthenticated

KEYS = (Key("gw-one", "one"), Key("gw-two", "two"))
OWN = Provider(base_url="https://example.org", format="anthropic_messages", passthrough=True)
PAID = Provider(base_url="https://example.org", format="openai_chat", api_key="paid-key")
LAB = Provider(base_url="http://127.0.0.1:8080/v1", format="openai_chat")


def test_passthrough_needs_no_key_and_keeps_the_clients_own() -> None:
    """Whatever the client sent is its own credential."""
    caller = authenticate(Auth(), {"authorization": "Bearer mine", "accept": "*/*"})
    assert caller == Caller("", (("authorization", "Bearer mine"),))


@pytest.mark.parametrize("header", ["x-luthien-key", "x-api-key"])
def test_a_gateway_key_is_taken_from_each_header(header: str) -> None:
    """Two of the three places."""
    assert authenticate(Auth("keys", KEYS), {header: "gw-two"}).key == "two"


def test_a_gateway_key_is_taken_as_bearer() -> None:
    """The third place."""
    assert authenticate(Auth("keys", KEYS), {"authorization": "bearer gw-one"}).key == "one"


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "gw"}, {"authorization": "Bearer "}, {"x-luthien-key": "é"}])
def test_without_a_valid_key_nobody_gets_in(headers: dict[str, str]) -> None:
    """401, and the message says where to put it."""
    with pytest.raises(Unauthenticated, match="x-luthien-key"):
        authenticate(Auth("keys", KEYS), headers)


def test_with_both_the_gateway_key_opens_and_the_own_credential_goes_on() -> None:
    """The gateway's key is not among what goes on."""
    caller = authenticate(Auth("both", KEYS), {"x-luthien-key": "gw-one", "authorization": "Bearer mine"})
    assert caller == Caller("one", (("authorization", "Bearer mine"),))
    assert authenticate(Auth("both", KEYS), {"x-api-key": "gw-one"}).own == ()
    beside = {"x-luthien-key": "gw-two", "authorization": "Bearer gw-one", "x-api-key": "mine"}
    assert authenticate(Auth("both", KEYS), beside).own == (("x-api-key", "mine"),)


def test_with_keys_alone_no_credential_of_the_client_goes_on() -> None:
    """The gateway's own key pays."""
    assert authenticate(Auth("keys", KEYS), {"x-luthien-key": "gw-one", "x-api-key": "mine"}).own == ()


def test_a_clients_credential_goes_only_to_a_passthrough_provider_of_its_format() -> None:
    """To any other provider goes the configured key, or nothing at all: a model server of one's own may need none."""
    caller = Caller("", (("x-api-key", "mine"),))
    assert provider_headers("it", OWN, "anthropic_messages", caller) == [("x-api-key", "mine")]
    assert provider_headers("it", PAID, "openai_chat", caller) == [("authorization", "Bearer paid-key")]
    with pytest.raises(Unauthenticated, match=r"providers\.it\.api_key"):
        provider_headers("it", OWN, "openai_chat", caller)
    assert provider_headers("it", LAB, "openai_chat", caller) == []


def test_a_configured_key_is_sent_in_the_formats_header() -> None:
    """Anthropic's is `x-api-key`; it is used where a passthrough client sent nothing."""
    paid = Provider(base_url="https://example.org", format="anthropic_messages", passthrough=True, api_key="paid-key")
    assert provider_headers("it", paid, "anthropic_messages", Caller()) == [("x-api-key", "paid-key")]
    assert provider_headers("it", OWN, "anthropic_messages", Caller()) == []
