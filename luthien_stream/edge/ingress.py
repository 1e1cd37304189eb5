"""From an HTTP request to `Asked`: read, authenticate, parse, route, and cut the credentials out."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from typing import Protocol

from aiohttp import web

from luthien_stream.config.model import Auth, FormatName
from luthien_stream.core.lens import Lens, Request
from luthien_stream.edge import auth
from luthien_stream.edge.asked import Asked, Published
from luthien_stream.edge.credentials import Vault, cut_body, cut_query, keep_headers, shown_headers
from luthien_stream.edge.doors import check_options
from luthien_stream.edge.refusals import OptionClosed, Refusal, RequestInvalid, TooLarge
from luthien_stream.edge.routing import Route, Router
from luthien_stream.edge.session import session_of
from luthien_stream.errors import ClientError
from luthien_stream.events.log import Header

MAX_BODY = 32 << 20
"""Bytes of a request's body: what the vendors take."""
UPLOAD_S = 120.0
"""How long a client may take to send it."""


class Guard(Protocol):
    """What the pipeline says about a request before it is taken."""

    def objection(self, request: Request) -> str | None: ...


class Ingress:
    """Reads requests for one configuration."""

    def __init__(self, settings: Auth, router: Router, lenses: Mapping[str, Lens], guard: Guard | None) -> None:
        """`guard` is the pipeline; None where no policy is configured."""
        self._auth = settings
        self._router = router
        self._lenses = lenses
        self._guard = guard

    async def read(self, request: web.Request, format: FormatName) -> Asked:
        """Return what is asked. Raises `Refusal`."""
        headers = _headers(request)
        by_name = dict(headers)
        caller = auth.authenticate(self._auth, by_name)
        lens = self._lenses[format]
        view = _parsed(lens, await _body(request))
        try:
            if self._guard is not None:
                _unguarded(self._guard, format, view)
            route = self._router.route(view.model, format)
        except Refusal as refusal:
            refusal.model = view.model
            raise
        credential = auth.provider_headers(route.provider, format, caller)
        vault, query = Vault(), request.rel_url.raw_query_string
        return Asked(
            format=format,
            lens=lens,
            path=request.path,
            query=query,
            headers=headers,
            view=view,
            key=caller.key,
            route=route,
            credential=tuple(credential),
            vault=vault,
            published=_published(vault, query, headers, view, route),
        )


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


def _headers(request: web.Request) -> tuple[Header, ...]:
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
        raise RequestInvalid(str(error)) from error
    if not isinstance(view.get("model"), str) or not view.model:
        raise RequestInvalid("`model` is missing: it must be the name of a model")
    if not isinstance(view.get("stream"), bool | None):
        raise RequestInvalid("`stream` must be true or false")
    return view


def _unguarded(guard: Guard, format: FormatName, view: Request) -> None:
    check_options(format, view)
    objection = guard.objection(view)
    if objection:
        raise OptionClosed(objection)


def _published(vault: Vault, query: str, headers: tuple[Header, ...], view: Request, route: Route) -> Published:
    by_name = dict(headers)
    keep_headers(vault, by_name)
    if route.provider.api_key:
        vault.hide(route.provider.api_key)
    for value in route.provider.headers.values():
        vault.hide(value)
    shown_query, body = cut_query(vault, query), cut_body(vault, view.body)
    return Published(
        query=shown_query,
        headers=shown_headers(vault, headers),
        body=body,
        client=vault.mask_text(by_name.get("user-agent", "")),
        session=vault.mask_text(session_of(by_name, view.get)),
    )
