"""What a well-formed configuration may not say. Pure: `load` finds the lines, `validate` prints them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from luthien_stream.config.model import Config, Provider, split_address
from luthien_stream.config.pipeline import check_pipeline
from luthien_stream.config.read import Finding, Path
from luthien_stream.config.targets import DEMO, Target, deployed, rules, target_of, targets_named
from luthien_stream.errors import ConfigError

REDIS_SCHEMES = ("redis", "rediss", "unix")
DATABASE_SCHEMES = ("postgresql", "postgres")


def check(config: Config) -> Iterator[Finding]:
    """All problems, each with the path of the key it is about."""
    yield from _addresses(config)
    yield from _servers(config)
    yield from _auth(config)
    for name, provider in config.providers.items():
        yield from _provider(name, provider)
    routes = [*_models(config), *_model_list(config)]
    yield from routes
    if not routes:
        yield from _open_relay(config)
    for path, problem in check_pipeline(config.pipeline):
        yield ("pipeline", *path), problem
    for address in config.notified:
        parts = urlsplit(address)
        if not parts.hostname or not (
            parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname))
        ):
            yield (
                ("notify",),
                "notify must begin with https:// and a host: what a tool would be called with is sent there",
            )


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
    if provider.retries < 0:
        yield (*path, "retries"), "retries must be 0 or more"
    proxy = urlsplit(provider.proxy)
    if provider.proxy not in ("", "none") and (proxy.scheme not in ("http", "https") or not proxy.hostname):
        yield (*path, "proxy"), "proxy must be `none`, or begin with http:// or https:// and a host"


def _models(config: Config) -> Iterator[Finding]:
    for number, route in enumerate(config.models):
        for place, to in enumerate(targets_named(route)):
            path = ("models", number, "fallbacks", place - 1) if place else ("models", number, "to")
            try:
                target_of(config, to)
            except ConfigError as error:
                yield path, str(error)


def _model_list(config: Config) -> Iterator[Finding]:
    for number, entry in enumerate(config.model_list):
        path = ("model_list", number, "litellm_params")
        try:
            deployed(config, entry)
        except ConfigError as error:
            yield path, str(error)
        except (TypeError, ValueError, AttributeError):
            yield path, "timeout and num_retries must be numbers, extra_headers a mapping"


def _open_relay(config: Config) -> Iterator[Finding]:
    """Anyone who reaches the port could spend the key in the configuration."""
    try:
        host, _ = split_address(config.listen)
    except ConfigError:
        return
    if config.auth.mode != "passthrough" or is_loopback(host):
        return
    for path, name in sorted(set(_paid(config))):
        yield (
            path,
            f"open relay: {config.listen} is reachable from other machines, auth.mode `passthrough` asks nobody "
            f"for a key, and calls to {name!r} are paid with the gateway's key; "
            "listen on 127.0.0.1, or set auth.mode to `keys`, or remove the key",
        )


def _paid(config: Config) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where calls can go that the gateway pays: a key in the configuration, or one that litellm finds."""
    found = [target for rule in rules(config) for target in rule.targets]
    for target in found or [Target(name, provider, "") for name, provider in config.providers.items()]:
        if target.provider.api_key or target.litellm is not None:
            own = target.provider is config.providers.get(target.name)
            elsewhere = "model_list" if config.model_list else "models"
            yield ("providers", target.name, "api_key") if own else (elsewhere,), target.name
