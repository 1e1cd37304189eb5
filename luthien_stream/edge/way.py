"""What a provider is sent for a call: the client's own bytes, or a request in the provider's format."""

from __future__ import annotations

import time

from msgspec import Struct

from luthien_stream.edge import auth
from luthien_stream.edge.asked import View
from luthien_stream.edge.call import Call
from luthien_stream.edge.credentials import without_credentials
from luthien_stream.edge.refusals import FormatsDiffer
from luthien_stream.edge.routing import Route
from luthien_stream.edge.wire import to_provider
from luthien_stream.events.log import Header
from luthien_stream.formats import LENSES
from luthien_stream.formats.convert import Conversion
from luthien_stream.formats.convert.foreign import without_foreign
from luthien_stream.upstream import litellm_wire


class Way(Struct, frozen=True):
    """One provider that a call may be answered by, and the request as that one gets it."""

    route: Route
    path: str
    query: str
    headers: list[Header]
    body: bytes
    conversion: Conversion | None = None
    """Makes the answer into one of the client's format, where the provider speaks another."""


def way_to(call: Call, view: View, route: Route) -> Way:
    """The request for one provider: the client's own bytes unless the model has another name there.

    Raises `ClientError` where it may not or cannot be sent there.
    """
    asked = call.asked
    credential = auth.provider_headers(route.name, route.provider, asked.spoken or asked.format, asked.caller)
    if route.format != asked.format:
        return _converted(call, view, route, credential)
    if route.model != view.model:
        view = view.set_model(route.model)
    view = _with_defaults(view, route)
    query = asked.query if route.provider.passthrough else without_credentials(asked.query)
    body = view.body if asked.plain else without_foreign(asked.lens.mended(view.body))
    return Way(route, asked.path, query, _headers(asked.headers, route, credential), body)


def _converted(call: Call, view: View, route: Route, credential: list[Header]) -> Way:
    asked = call.asked
    if asked.plain:
        raise FormatsDiffer(
            f"{asked.method} {asked.path} cannot be answered for the model {view.model!r}: its provider {route.name!r} "
            f"speaks {' and '.join(route.provider.formats)}"
        )
    conversion = Conversion(asked.format, route.format, int(time.time()))
    body = conversion.request(asked.lens.mended(view.body), route.model)
    if route.defaults:
        body = _with_defaults(LENSES[route.format].request(body), route).body
    headers = _headers(conversion.headers(asked.headers), route, credential)
    return Way(route, conversion.path, "", headers, body, conversion)


def _with_defaults(view: View, route: Route) -> View:
    for name, value in route.defaults.items():
        if view.get(name) is None:
            view = view.set(name, value)
    return view


def _headers(headers: tuple[Header, ...], route: Route, credential: list[Header]) -> list[Header]:
    if route.litellm is not None:
        return [*litellm_wire.headers(route.litellm), *credential]
    return to_provider(headers, credential, route.provider)
