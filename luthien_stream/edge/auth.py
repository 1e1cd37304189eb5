"""Who calls, and which credential goes to the provider.

A gateway key never leaves the gateway. A client's own credential goes only to a provider that is marked `passthrough`
and speaks the client's format; to every other one goes its configured key, or none where it was given none and is not
marked either: a model server of one's own may need none.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from msgspec import Struct

from luthien_stream.config.model import Auth, FormatName, Key, Provider
from luthien_stream.edge.refusals import Unauthenticated
from luthien_stream.events.log import Header

GATEWAY_HEADER = "x-luthien-key"
OWN_HEADERS = ("authorization", "x-api-key", "api-key")
"""Where clients put their credential for a provider; a gateway key may be in the first two as well."""


class Caller(Struct, frozen=True):
    """Who sent a request."""

    key: str = ""
    """The name of the gateway key, empty if none was needed."""
    own: tuple[Header, ...] = ()
    """The client's own credential headers, as they came."""


def authenticate(auth: Auth, headers: Mapping[str, str]) -> Caller:
    """Return who calls. `headers` has lower-case names. Raises `Unauthenticated`."""
    own = tuple((name, headers[name]) for name in OWN_HEADERS if headers.get(name))
    if auth.mode == "passthrough":
        return Caller("", own)
    name, found = _gateway_key(auth.keys, headers)
    if found is None:
        raise Unauthenticated(
            f"No valid gateway key: send it as `Authorization: Bearer KEY`, `x-api-key: KEY` or `{GATEWAY_HEADER}: KEY`"
        )
    kept = tuple(h for h in own if not _is_gateways(auth.keys, secret_of(h[1])))
    return Caller(name, kept if auth.mode == "both" else ())


def credentials(headers: Mapping[str, str]) -> tuple[Header, ...]:
    """All that says who calls: the same for two requests of one caller. `headers` has lower-case names."""
    return tuple((name, headers[name]) for name in (*OWN_HEADERS, GATEWAY_HEADER) if headers.get(name))


def provider_headers(name: str, provider: Provider, format: FormatName, caller: Caller) -> list[Header]:
    """The credential headers for the provider of this name, for a client that speaks `format`.

    Raises `Unauthenticated` where only the client's own credential would open it and that is not meant for it.
    """
    if provider.passthrough and format in provider.formats and caller.own:
        return list(caller.own)
    if provider.api_key:
        spoken = format if format in provider.formats else provider.formats[0]
        if spoken == "anthropic_messages":
            return [("x-api-key", provider.api_key)]
        return [("authorization", f"Bearer {provider.api_key}")]
    if provider.passthrough and format not in provider.formats:
        raise Unauthenticated(
            f"This model is answered by the provider {name!r}, which speaks {' and '.join(provider.formats)}: your own "
            f"credential, sent for {format}, does not go there. The gateway needs its key: providers.{name}.api_key"
        )
    return []


def proven(provider: Provider, format: FormatName, caller: Caller) -> str:
    """The client's credential that a provider which answers has accepted, so that it is one; empty if none is certain.

    Of several that were sent it is not known which was.
    """
    if not (provider.passthrough and format in provider.formats and len(caller.own) == 1):
        return ""
    return secret_of(caller.own[0][1])


_SCHEMES = frozenset({"bearer", "basic", "token"})


def secret_of(value: str) -> str:
    """The secret in a credential's value: what follows `Bearer`, `Basic` or `Token`, else the whole."""
    scheme, space, rest = value.strip().partition(" ")
    return rest.strip() if space and scheme.lower() in _SCHEMES else value.strip()


def _is_gateways(keys: tuple[Key, ...], secret: str) -> bool:
    """Whichever of them it is, also beside another one."""
    return any(hmac.compare_digest(key.key.encode(), secret.encode()) for key in keys)


def _gateway_key(keys: tuple[Key, ...], headers: Mapping[str, str]) -> tuple[str, str | None]:
    sent = [secret_of(headers[name]) for name in (GATEWAY_HEADER, "authorization", "x-api-key") if headers.get(name)]
    name, found = "", None
    for key in keys:
        for one in sent:
            if hmac.compare_digest(key.key.encode(), one.encode()):
                name, found = key.name, one
    return name, found
