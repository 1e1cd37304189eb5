"""How a provider is reached: directly or over a proxy, and whose certificates count."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from functools import lru_cache
from urllib.request import getproxies

from yarl import URL

from luthien_stream.config.model import Provider
from luthien_stream.upstream.port import UpstreamUnreachable


def proxy_of(provider: Provider, url: URL, environment: Mapping[str, str]) -> URL | None:
    """The proxy for a URL, None for none. `environment` is what `getproxies` says.

    What the configuration says counts; else HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, in either case. An address
    of this machine is asked directly, whatever they say. Raises `UpstreamUnreachable` for a proxy of another kind.
    """
    if provider.proxy:
        return None if provider.proxy == "none" else URL(provider.proxy)
    host = url.host or ""
    found = environment.get(url.scheme) or environment.get("all")
    if not found or _is_here(host) or _bypassed(host, url.port, environment.get("no", "")):
        return None
    proxy = URL(found if "://" in found else f"http://{found}")
    if proxy.scheme not in ("http", "https"):
        raise UpstreamUnreachable(
            f"The environment names a {proxy.scheme} proxy, and only http and https ones can be used: "
            "write `proxy: none` or another proxy at the provider"
        )
    return proxy


def environment_proxies() -> Mapping[str, str]:
    """The proxies that the environment (or the system's settings) names, by scheme; `no` has the exceptions."""
    return getproxies()


def certificates_of(provider: Provider) -> ssl.SSLContext | bool:
    """What checks the provider's certificate: its `ca_file`, else the system's (or SSL_CERT_FILE's)."""
    return _context(provider.ca_file) if provider.ca_file else True


@lru_cache(maxsize=64)
def _context(ca_file: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _bypassed(host: str, port: int | None, exceptions: str) -> bool:
    return any(_excepts(entry.strip().lower(), host.lower(), port) for entry in exceptions.split(",") if entry.strip())


def _excepts(entry: str, host: str, port: int | None) -> bool:
    """Whether one entry of NO_PROXY means a host: `*`, a name and all below it, with a port or not, or a network."""
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        pass  # one of the two is a name
    name, colon, only = entry.rpartition(":")
    if colon and only.isdigit():
        if int(only) != port:
            return False
        entry = name
    entry = entry.removeprefix("*").removeprefix(".")
    return host == entry or host.endswith(f".{entry}")
