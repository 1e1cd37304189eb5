"""A command as it is started with the gateway: its words and its environment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from luthien_stream.clients.model import KEY, Setup

_PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
_NO_PROXY = ("no_proxy", "NO_PROXY")


def words(setup: Setup, command: Sequence[str]) -> list[str]:
    """The command with the client's arguments first."""
    return [command[0], *setup.arguments, *command[1:]]


def changes(setup: Setup, environ: Mapping[str, str], url: str, key: str) -> dict[str, str]:
    """The variables to set. A switch that the user has set stays; `key` takes its place in the values."""
    changed = {variable.name: variable.value.replace(KEY, key) for variable in setup.variables}
    for switch in setup.switches:
        if switch.restores and switch.name not in environ:
            changed[switch.name] = switch.value
    return changed | _past_proxies(environ, urlsplit(url).hostname or "")


def _past_proxies(environ: Mapping[str, str], host: str) -> dict[str, str]:
    """Where a proxy is set, clients must not ask it for the gateway."""
    if not any(environ.get(name) for name in _PROXIES):
        return {}
    listed = next((environ[name] for name in _NO_PROXY if environ.get(name)), "")
    if host in listed.split(","):
        return {}
    return dict.fromkeys(_NO_PROXY, f"{listed},{host}" if listed else host)
