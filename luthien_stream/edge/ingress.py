"""From an HTTP request to `Asked`: read, authenticate, parse, route, and cut the credentials out."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from typing import cast, get_args

from aiohttp import web
from msgspec.structs import replace

from luthien_stream.config.model import Config, FormatName, OnDisconnect
from luthien_stream.core.lens import Lens, Request
from luthien_stream.edge import auth, stored
from luthien_stream.edge.asked import Asked, Published, View
from luthien_stream.edge.credentials import Vault, cut_body, cut_query, keep_headers, shown_headers
from luthien_stream.edge.doors import Doors
from luthien_stream.edge.plain import PlainRequest
from luthien_stream.edge.refusals import OptionClosed, PathUnknown, Refusal, RequestInvalid, TooLarge
from luthien_stream.edge.routing import Route, Router, hide_keys
from luthien_stream.edge.session import session_of, user_of
from luthien_stream.edge.stored import StoredResponses
from luthien_stream.errors import ClientError
from luthien_stream.events.log import Header
from luthien_stream.policy.stages import Stages

MAX_BODY = 32 << 20
"""Bytes of a request's body: what the vendors take."""
ON_DISCONNECT = "x-luthien-on-disconnect"
"""Header by which a client says what becomes of its call if it goes away."""
UPLOAD_S = 120.0
"""How long a client may take to send it."""


class Ingress:
    """Reads requests for one configuration."""

    def __init__(
        self,
        config: Config,
        router: Router,
        lenses: Mapping[str, Lens],
        stages: Stages,
        doors: Doors,
        responses: StoredResponses,
    ) -> None:
        """`stages` are those in force."""
        self._auth = config.auth
        self._on_disconnect = config.on_disconnect
        self._router = router
        self._lenses = lenses
        self.stages = stages
        self._doors = doors
        self._stored = responses

    async def read(self, request: web.Request, format: FormatName) -> Asked:
        """Return what is asked. Raises `Refusal`."""
        headers = headers_of(request)
        caller = auth.authenticate(self._auth, dict(headers))
        sent = view = _parsed(self._lenses[format], await _body(request))
        try:
            self._doors.check_options(format, view)
            route = self._router.route(view.model, format)
            if format == stored.FORMAT:
                sender = auth.credentials(dict(headers))
                converted = route.format != format
                sent = await self._stored.with_items(view, sender, converted=converted)
                view = await self._stored.whole(sent, sender, converted=converted)
            asked = self._asked(request, format, headers, caller, view, route)
            if objection := self.stages.objection(sent, asked.facts):
                raise OptionClosed(objection)
        except Refusal as refusal:
            refusal.model = view.model
            raise
        return asked if view is sent else replace(asked, sent=sent)

    def credentials(self, request: web.Request) -> tuple[Header, ...]:
        """Who asks. Raises `Unauthenticated`."""
        headers = dict(headers_of(request))
        auth.authenticate(self._auth, headers)
        return auth.credentials(headers)

    async def read_plain(self, request: web.Request, format: FormatName) -> Asked:
        """The same for a request that no codec reads. `format` is the client's dialect. Raises `Refusal`."""
        path = request.rel_url.raw_path
        headers = headers_of(request)
        caller = auth.authenticate(self._auth, dict(headers))
        bypass = self._doors.pass_by(request.method, path)
        body = await _body(request) if request.can_read_body else b""
        view = PlainRequest(body, request.headers.get("content-type", ""))
        route = self._router.route(view.model, format) if view.model else self._router.vendor(format)
        if route is None:
            raise PathUnknown(f"No provider is configured that speaks {format}: {request.method} {path} goes nowhere")
        asked = self._asked(request, format, headers, caller, view, route)
        return replace(asked, path=path, method=request.method, plain=True, bypass=bypass)

    def _asked(
        self,
        request: web.Request,
        format: FormatName,
        headers: tuple[Header, ...],
        caller: auth.Caller,
        view: View,
        route: Route,
    ) -> Asked:
        auth.provider_headers(route.name, route.provider, format, caller)
        vault, query = Vault(), request.rel_url.raw_query_string
        return Asked(
            format=format,
            lens=self._lenses[format],
            path=request.path,
            query=query,
            headers=headers,
            view=view,
            route=route,
            caller=caller,
            vault=vault,
            published=_published(vault, query, headers, view, route),
            sender=auth.credentials(dict(headers)),
            on_disconnect=_on_disconnect(dict(headers), self._on_disconnect),
        )


def _on_disconnect(headers: Mapping[str, str], otherwise: OnDisconnect) -> OnDisconnect:
    wish = headers.get(ON_DISCONNECT)
    if wish is None:
        return otherwise
    if wish not in get_args(OnDisconnect):
        raise RequestInvalid(f"The header {ON_DISCONNECT} must be one of {', '.join(get_args(OnDisconnect))}")
    return cast("OnDisconnect", wish)


async def _body(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(UPLOAD_S):
            body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge(f"The request's body is over {MAX_BODY >> 20} MB") from None
    except TimeoutError:
        raise RequestInvalid(f"The request's body did not arrive within {UPLOAD_S:.0f} s") from None
    except (web.RequestPayloadError, ValueError) as error:
        raise RequestInvalid(f"The request's body cannot be read: {type(error).__name__}") from error
    return _decoded(body, request.headers.get("content-encoding", "").strip().lower())


def _decoded(body: bytes, encoding: str) -> bytes:
    # Not left to the server: what cannot be decoded breaks its connection, and what grows has no bound there.
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise RequestInvalid(f"The content-encoding {encoding!r} is not supported: send gzip, deflate or none")
    try:
        plain = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(body, MAX_BODY + 1)
    except zlib.error as error:
        raise RequestInvalid(f"The body is no {encoding}: {error}") from error
    if len(plain) > MAX_BODY:
        raise TooLarge(f"The request's body is over {MAX_BODY >> 20} MB")
    return plain


def headers_of(request: web.Request) -> tuple[Header, ...]:
    """The headers as they came, names in lower case. Raises `RequestInvalid`."""
    headers = tuple((name.lower(), value) for name, value in request.headers.items())
    for name, value in headers:
        if not value.isascii() and _has_surrogates(value):
            raise RequestInvalid(f"The header {name!r} is no UTF-8 text")
    return headers


def _has_surrogates(text: str) -> bool:
    """Bytes that are no UTF-8 come from the server as these."""
    return any("\ud800" <= char <= "\udfff" for char in text)


def _parsed(lens: Lens, body: bytes) -> Request:
    try:
        view = lens.request(body)
    except Refusal:
        raise
    except ClientError as error:
        raise RequestInvalid(str(error), param=str(getattr(error, "param", ""))) from error
    if not isinstance(view.get("model"), str) or not view.model:
        raise RequestInvalid("`model` is missing: it must be the name of a model")
    if not isinstance(view.get("stream"), bool | None):
        raise RequestInvalid("`stream` must be true or false")
    return view


def _published(vault: Vault, query: str, headers: tuple[Header, ...], view: View, route: Route) -> Published:
    by_name = dict(headers)
    keep_headers(vault, by_name)
    hide_keys(vault, route)
    shown_query, body = cut_query(vault, query), b""
    if not isinstance(view, PlainRequest) or view.is_json:  # files and forms are nobody's record
        body = cut_body(vault, view.body)
    return Published(
        query=shown_query,
        headers=shown_headers(vault, headers),
        body=body,
        client=vault.mask_text(by_name.get("user-agent", "")),
        session=vault.mask_text(session_of(by_name, view.get)),
        user=vault.mask_text(user_of(view.get)),
    )
