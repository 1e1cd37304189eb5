"""How a provider is reached: what the configuration and the environment say of proxies."""

from __future__ import annotations

import pytest
from yarl import URL

from luthien_stream.config.model import Provider
from luthien_stream.upstream.connection import proxy_of
from luthien_stream.upstream.port import UpstreamUnreachable

ENVIRONMENT = {
    "https": "http://user:secret@proxy.corp:3128",
    "http": "proxy.corp:3128",
    "no": "localhost, .internal,example.org:8443,10.0.0.0/8",
}


def asked(url: str, proxy: str = "", environment: dict[str, str] | None = None) -> str:
    """The proxy for a URL, empty for none."""
    found = proxy_of(
        Provider(url, "openai_chat", proxy=proxy), URL(url), ENVIRONMENT if environment is None else environment
    )
    return str(found or "")


@pytest.mark.parametrize(("url", "proxy"), [
    ("https://api.openai.com/v1", "http://user:secret@proxy.corp:3128"),
    ("http://models.lab/v1", "http://proxy.corp:3128"),
    ("https://models.internal", ""),
    ("https://internal", ""),
    ("https://notinternal", "http://user:secret@proxy.corp:3128"),
    ("https://example.org:8443", ""),
    ("https://example.org", "http://user:secret@proxy.corp:3128"),
    ("https://10.1.2.3", ""),
    ("http://127.0.0.1:8080/v1", ""),
    ("http://[::1]:8080/v1", ""),
    ("http://localhost:8080/v1", ""),
])  # fmt: skip
def test_the_environment_says_which_proxy(url: str, proxy: str) -> None:
    """By scheme, but for what NO_PROXY names and for this machine."""
    assert asked(url) == proxy


def test_the_configuration_counts_over_the_environment() -> None:
    """A proxy of its own, for an address of this machine as well; or none."""
    assert asked("https://api.openai.com", "none") == ""
    assert asked("http://127.0.0.1:8080", "http://other:1") == "http://other:1"
    assert asked("https://x.internal", "http://other:1") == "http://other:1"


def test_no_proxy_and_one_for_all() -> None:
    """`*` excepts everything; ALL_PROXY is for schemes that have none of their own."""
    assert asked("https://x.org", environment={"https": "http://p:1", "no": "*"}) == ""
    assert asked("https://x.org", environment={"all": "http://p:1"}) == "http://p:1"
    assert asked("https://x.org", environment={}) == ""


def test_a_proxy_of_another_kind_is_an_error_that_says_so() -> None:
    """And not its password."""
    with pytest.raises(UpstreamUnreachable, match="socks5") as caught:
        asked("https://x.org", environment={"all": "socks5://user:secret@p:1"})
    assert "secret" not in str(caught.value)
