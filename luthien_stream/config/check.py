"""What a well-formed configuration may not say. Pure: `load` finds the lines, `validate` prints them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from luthien_stream.config.model import Config, Provider, split_address
from luthien_stream.config.read import Path
from luthien_stream.errors import ConfigError

Finding = tuple[Path, str]

DEMO = "demo"
"""The provider that is always there and needs no key."""
REDIS_SCHEMES = ("redis", "rediss", "unix")
DATABASE_SCHEMES = ("postgresql", "postgres")


def check(config: Config) -> Iterator[Finding]:
    """All problems, each with the path of the key it is about."""
    yield from _addresses(config)
    yield from _servers(config)
    yield from _auth(config)
    for name, provider in config.providers.items():
        yield from _provider(name, provider)
    yield from _models(config)
    yield from _open_relay(config)
    for number, use in enumerate(config.pipeline):
        if use.timeout_s <= 0:
            yield ("pipeline", number, "timeout_s"), "timeout_s must be above 0"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _addresses(config: Config) -> Iterator[Finding]:
    paths: dict[Path, str] = {("listen",): config.listen, ("admin", "listen"): config.admin.listen}
    for path, address in paths.items():
        try:
            split_address(address)
        except ConfigError as error:
            yield path, str(error)
    if config.listen == config.admin.listen and not config.listen.endswith(":0"):
        yield ("admin", "listen"), "the agent must not reach the admin listener: give it an address of its own"


def _servers(config: Config) -> Iterator[Finding]:
    if config.redis not in ("embedded", "memory") and urlsplit(config.redis).scheme not in REDIS_SCHEMES:
        yield ("redis",), "write `embedded`, `memory`, or a URL with redis://, rediss:// or unix://"
    if config.database not in ("embedded", "none") and urlsplit(config.database).scheme not in DATABASE_SCHEMES:
        yield ("database",), "write `embedded`, `none`, or a URL with postgresql://"


def _auth(config: Config) -> Iterator[Finding]:
    auth = config.auth
    if auth.mode != "passthrough" and not auth.keys:
        yield ("auth",), f"mode `{auth.mode}` without keys lets nobody in: list them under auth.keys"
    if auth.mode == "passthrough" and auth.keys:
        yield ("auth", "keys"), "mode `passthrough` does not ask for keys: write mode `keys` or `both`, or remove them"
    seen: set[str] = set()
    for number, key in enumerate(auth.keys):
        if not key.key:
            yield ("auth", "keys", number), "the key is empty"
        elif key.key in seen:
            yield ("auth", "keys", number), "the key is listed twice"
        seen.add(key.key)


def _provider(name: str, provider: Provider) -> Iterator[Finding]:
    path = ("providers", name)
    parts = urlsplit(provider.base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        yield (*path, "base_url"), "base_url must begin with http:// or https:// and a host"
    if not name or "/" in name or name == DEMO:
        yield path, f"{name!r} cannot name a provider: {DEMO!r} is built in, and a slash divides provider and model"
    for key in ("timeout_s", "connect_timeout_s"):
        if getattr(provider, key) <= 0:
            yield (*path, key), f"{key} must be above 0"
    if not provider.formats:
        yield (*path, "format"), "name at least one format"


def _models(config: Config) -> Iterator[Finding]:
    for number, route in enumerate(config.models):
        provider, slash, model = route.to.partition("/")
        if not slash or not model:
            yield ("models", number, "to"), f"{route.to!r} must read provider/model; `*` keeps the client's model"
        elif provider != DEMO and provider not in config.providers:
            known = ", ".join([*config.providers, DEMO])
            yield ("models", number, "to"), f"no provider {provider!r} under providers (known: {known})"


def _open_relay(config: Config) -> Iterator[Finding]:
    """Anyone who reaches the port could spend the key in the configuration."""
    try:
        host, _ = split_address(config.listen)
    except ConfigError:
        return
    if config.auth.mode != "passthrough" or is_loopback(host):
        return
    routed = {route.to.partition("/")[0] for route in config.models} if config.models else set(config.providers)
    for name in sorted(routed):
        if name in config.providers and config.providers[name].api_key:
            yield (
                ("providers", name, "api_key"),
                f"open relay: {config.listen} is reachable from other machines, auth.mode `passthrough` asks nobody "
                f"for a key, and calls to {name!r} are paid with this api_key; "
                "listen on 127.0.0.1, or set auth.mode to `keys`, or remove the api_key",
            )
